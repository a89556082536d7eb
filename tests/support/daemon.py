"""A real daemon for a test: folders of its own, its process, a client, and the scripted model beside it."""

import fcntl
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

import anyio
from anyio.abc import Process

from hutch.client import Client, connect, daemon_url, read_token, token_path
from hutch.config import Config, load
from hutch.deadlines import let_keeper_go
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.session_records import SessionRecord
from support.forked_daemon import ForkedDaemon, fork_daemon
from support.shared_probes import PROBES

ROOT = Path(__file__).parents[2]
_UP_S = 90
_DOWN_S = 90

BASE = """
[daemon]
listen = "127.0.0.1:0"
socket = "{folder}/d.sock"
state = "{folder}/state"
cache = "{folder}/cache"
stop_grace_s = 2
"""
# The adapter talks to the scripted model; the key that it wants is any word.
MODEL = """
[agents.claude]
base_url = "{url}"
network = "model"

[network.model]
host_services = ["{address}"]
metered = ["{url}"]
"""


@dataclass
class Daemon:
    """Folders and configuration that outlive the process, so that it can be killed and started again."""

    folder: Path
    config: Config
    env: Mapping[str, str]
    python: Sequence[str] = ()  # by which it runs, and so as whom; empty: ours
    # Starts it by itself; empty: it is forked from a process of `python`, quickly
    starter: Sequence[str] = ()
    process: Process | ForkedDaemon | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        env = {"HUTCH_CONFIG": str(self.folder / "config.toml"), **self.env}
        if self.starter:
            words = [*self.starter, "-m", "hutch", "serve"]
            with (self.folder / "log").open("ab") as log:
                self.process = await anyio.open_process(
                    words, stdin=DEVNULL, stdout=log, stderr=STDOUT, env=env, start_new_session=True
                )
        else:
            self.process = fork_daemon(env, self.folder / "log", self.python)
        with anyio.fail_after(_UP_S):
            while True:
                try:
                    async with connect(self.config):
                        return
                except Exception as error:
                    if self.process.returncode is not None:
                        raise AssertionError(f"the daemon did not come up:\n{self.log()}") from error
                    await anyio.sleep(0.02)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until it is gone, and return its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        with anyio.fail_after(_DOWN_S):
            code = await self.process.wait()
        await self.process.aclose()
        self.process = None
        return code

    def runners(self) -> list[int]:
        """The processes that take turns for it, and outlive it."""
        locks = (self.folder / "state/jobs").glob("*/lock")
        return [int(lock.read_text() or 0) for lock in locks if _is_locked(lock)]

    async def lose(self) -> None:
        """Kill it, and all that takes turns for it."""
        await self.end(signal.SIGKILL)
        await self.kill_runners()

    async def kill_runners(self) -> None:
        """Kill them, and return when they are gone. Of a host of its own they have gone with it."""
        if self.starter:
            return
        for pid in self.runners():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(_DOWN_S):
            while self.runners():
                await anyio.sleep(0.01)
        for job in (self.folder / "state/jobs").glob("*"):
            let_keeper_go(job / "keeper")  # or it would wait for its deadline

    async def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        await self.end(number)
        await self.start()

    def client(self) -> AbstractAsyncContextManager[Client]:
        return connect(self.config)

    @property
    def url(self) -> str:
        return daemon_url(self.config)

    @property
    def token(self) -> str:
        return read_token(token_path(self.config))

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@asynccontextmanager
async def daemon(
    folder: Path,
    more: str = "",
    *,
    env: Mapping[str, str] | None = None,
    python: Sequence[str] = (),
    starter: Sequence[str] = (),
) -> AsyncGenerator[Daemon]:
    """A running daemon, configured by `more` on top of folders of its own, as the owner of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(BASE.format(folder=folder) + more)
    probes = folder / "cache/probes"
    owner = folder.stat().st_uid
    if not starter:
        give_probes(probes, owner)
    given = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **(env or {})}
    made = Daemon(folder, load(path, given), given, python, starter)
    try:
        await made.start()
        yield made
    finally:
        with anyio.CancelScope(shield=True):
            if made.process is not None:
                await made.end()
            await made.kill_runners()
        _take_probes(probes, owner)


def _is_locked(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _take_probes(folder: Path, owner: int) -> None:
    """Keep what a daemon of this user measured of methods, for those to come."""
    kept = PROBES / f"of-{owner}"
    kept.mkdir(exist_ok=True)
    for file in folder.glob("*.json"):
        new = kept / f"{file.name}.{os.getpid()}"
        new.write_bytes(file.read_bytes())
        new.rename(kept / file.name)


def give_probes(folder: Path, owner: int) -> None:
    """Each is valid for a user, a boot and a method's options, which it names: a daemon tells by itself."""
    with suppress(OSError):  # some tests are about disks without room
        for made in (folder.parent, folder):
            made.mkdir(mode=0o700, exist_ok=True)
            os.chown(made, owner, owner)
        for file in (PROBES / f"of-{owner}").glob("*.json"):
            (folder / file.name).write_bytes(file.read_bytes())
            os.chown(folder / file.name, owner, owner)


@asynccontextmanager
async def scripted_model(log: Path | None = None) -> AsyncGenerator[str]:
    """The scripted model on a loopback port; yields its URL."""
    command = [sys.executable, str(ROOT / "scripts/scripted_model.py"), "--port", "0"]
    command += ["--log", str(log)] if log else []
    async with await anyio.open_process(command, stdin=DEVNULL, stdout=PIPE, stderr=None) as process:
        try:
            assert process.stdout is not None
            said = (await process.stdout.receive()).decode()
            yield "http://" + said.partition("http://")[2].split()[0].rstrip("/")
        finally:
            process.kill()


def model_config(url: str) -> str:
    """Configuration that sends Claude Code to the scripted model."""
    return MODEL.format(url=url, address=url.partition("://")[2])


async def run(client: Client, command: str | list[str], wait_s: float = 45, **values: object) -> RunRecord:
    """Run one command to its end."""
    record = await client.run(RunRequest.model_validate({"command": command, **values}), wait_s)
    while not record.is_ended:
        record = await client.get_run(record.run_id, 45)
    return record


async def output(client: Client, record: RunRecord) -> tuple[str, str]:
    """Everything that a run wrote."""
    import base64

    from hutch_mcp_tools.run_records import LogRequest

    both = []
    for stream in ("stdout", "stderr"):
        chunk = await client.read_log(LogRequest.model_validate({"run_id": record.run_id, "stream": stream}))
        both.append(base64.b64decode(chunk.data_base64).decode(errors="replace"))
    return both[0], both[1]


async def turn(client: Client, prompt: str, volume: str, **values: object) -> SessionRecord:
    """Give Claude Code a prompt in a volume and wait for the end of its turn."""
    said = {"agent": "claude", "prompt": prompt, "volume": volume, "model": "claude-opus-5-5", **values}
    record = await client.start_agent(AgentRequest.model_validate(said), 45)
    while record.status in ("queued", "running"):
        record = await client.get_session(record.session_id, 45)
    return record
