"""What the demo stands on: its folder, a daemon, a model, and canaries that no sandbox may reach."""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from demo_story import DemoError, Story
from hutch.client import daemon_file, daemon_url, read_token, token_path
from hutch.config import Config, load

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("HUTCH_DEMO_FOLDER") or ROOT / ".demo").absolute()
MARK = FOLDER / ".made-by-the-demo"
SECRET = "HUTCH_DEMO_SECRET"
START_S = 30.0
STOP_S = 20.0
MAX_SOCKET = 60  # characters of a path with room for what the daemon adds: a socket's has 107 bytes at most

CONFIG = """\
# Written by the demo. Look around in what it left with: HUTCH_CONFIG={file} .venv/bin/hutch sessions
[daemon]
listen = "127.0.0.1:0"
state = "{folder}/state"
cache = "{folder}/cache"
socket = "{socket}"
"""
SCRIPTED = """
[agents.claude]
base_url = "{url}"
network = "model"

[network.model]
host_services = ["{address}"]
"""


@dataclass(frozen=True)
class Canaries:
    """Things of the host that are there, so that a sandbox which does not find them was kept from them."""

    diary: Path  # in the home of the demo's daemon
    planted: Path  # what a sandbox will try to write beside it
    home: Path  # of whoever runs this
    port: int  # a service of this machine
    process: subprocess.Popen[bytes]
    mark: str  # in that process' command line
    secret: str  # in the daemon's environment


@dataclass(frozen=True)
class Daemon:
    config: Config
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return daemon_url(self.config)

    @property
    def token(self) -> str:
        return read_token(token_path(self.config))


@contextmanager
def folder() -> Iterator[None]:
    """Begin anew: remove what an earlier demo left, and nothing else. One demo at a time has the folder."""
    try:
        if MARK.exists():
            with MARK.open() as mark:
                if not _lock(mark):
                    raise DemoError(f"another demo is at work in {FOLDER}", "wait for its end")
            _end_earlier_daemon()
            shutil.rmtree(FOLDER)
        FOLDER.mkdir(mode=0o700)
        mark = MARK.open("x")
    except OSError as error:
        hint = "remove it, or move it away, and start again"
        raise DemoError(f"{FOLDER} cannot be made: {error.strerror}", hint) from None
    with mark:
        _lock(mark)
        yield


@contextmanager
def canaries() -> Iterator[Canaries]:
    home = FOLDER / "home"
    home.mkdir()
    diary = home / "diary.txt"
    diary.write_text("nobody's business\n")
    mark = f"canary-{secrets.token_hex(8)}"
    sleeper = [sys.executable, "-c", "import time; time.sleep(3600)", mark]
    with socket.create_server(("127.0.0.1", 0)) as service, subprocess.Popen(sleeper) as process:
        try:
            real_home = Path.home()
            port = service.getsockname()[1]
            yield Canaries(diary, home / "planted", real_home, port, process, mark, secrets.token_hex(16))
        finally:
            process.kill()


@contextmanager
def scripted_model() -> Iterator[str]:
    """A model that does what its prompt says; yields its URL."""
    script = [sys.executable, str(ROOT / "scripts" / "scripted_model.py")]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if "http://" not in said:
                raise DemoError("the scripted model did not start", f"try it: {' '.join(script)}")
            yield "http://" + said.partition("http://")[2].split()[0].rstrip("/")
        finally:
            process.kill()


@contextmanager
def daemon(story: Story, env: Mapping[str, str], model_url: str | None) -> Iterator[Daemon]:
    """`hutch serve` on a configuration of its own; killed where the block ends before it was stopped."""
    with tempfile.TemporaryDirectory(prefix="hutch-demo-") as short:
        folder = FOLDER if len(str(FOLDER)) <= MAX_SOCKET else Path(short)
        file = FOLDER / "config.toml"
        text = CONFIG.format(file=file, folder=FOLDER, socket=folder / "hutch.sock")
        if model_url is not None:
            text += SCRIPTED.format(url=model_url, address=model_url.removeprefix("http://"))
        file.write_text(text)
        env = {**env, "HUTCH_CONFIG": str(file)}
        config = load(file, env)
        with (FOLDER / "daemon.log").open("wb") as log, _started(log, env) as process:
            served = Daemon(config, process)
            try:
                with story.waiting("the daemon starts"):
                    _await_answer(served)
                yield served
            except DemoError as error:
                error.log = _tail(FOLDER / "daemon.log")
                raise


def stop(served: Daemon) -> int:
    """Ask it to end, as Ctrl-C does; return its exit code."""
    served.process.send_signal(signal.SIGTERM)
    try:
        return served.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise DemoError(f"the daemon did not end within {STOP_S:.0f} s") from None


def in_sandboxes() -> list[int]:
    """Processes that have something of the demo's folder mounted: those in its sandboxes, and no others."""
    mounted = f"{FOLDER.parent.name}/{FOLDER.name}/"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mounted in (folder / "mountinfo").read_text():
                found.append(int(folder.name))
    return found


def _lock(file: TextIO) -> bool:
    """Take a file for ourselves, as long as it is open; whether nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_earlier_daemon() -> None:
    """End the daemon that a command on the demo's configuration has started since; it holds its lock."""
    state = FOLDER / "state"
    try:
        lock = (state / "daemon.lock").open()
    except FileNotFoundError:
        return
    with lock:
        if _lock(lock):
            return
        with suppress(OSError, ValueError, KeyError):
            os.kill(json.loads((state / "daemon.json").read_bytes())["pid"], signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while not _lock(lock):
            if time.monotonic() > deadline:
                raise DemoError(f"a daemon still works in {FOLDER}", "end it, and start again")
            time.sleep(0.05)


@contextmanager
def _started(log: object, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    libc = ctypes.CDLL(None)

    def die_with_us() -> None:
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: a demo that is killed leaves no daemon

    command = [sys.executable, "-m", "hutch", "serve"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,  # type: ignore[call-overload]  # a file
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=FOLDER,
        start_new_session=True,
        preexec_fn=die_with_us,  # noqa: PLW1509 - this process has one thread
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _await_answer(served: Daemon) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and served.process.poll() is None:
        if daemon_file(served.config).exists():
            return
        time.sleep(0.02)
    raise DemoError("the daemon did not start")


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
