"""The host as the attacks find it: canaries outside every grant, services that nobody may reach.

Everything here belongs to the user that runs the method, so that a refusal is the sandbox's, not that of file
modes.
"""

import ctypes
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANARY = "hutch-canary-outside-all-grants\n"
_PRIVATE = ("/root", "/home", "/mnt", "/opt", "/srv", "/var/lib", "/boot")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. `facts` is what an attack program is told."""

    folder: Path  # private to the user
    out: Path
    workspace: Path
    listeners: tuple[socket.socket, ...]  # that nobody may reach
    secret: str
    canary_process: "subprocess.Popen[bytes]"
    facts: dict[str, Any]

    @property
    def repository(self) -> Path:
        """A workspace to be written, with protected paths; made when it is needed."""
        return self.folder / "repository"

    @property
    def service_port(self) -> int:
        return int(self.facts["service_port"])

    def disturbed(self) -> str:
        """What became of the canaries that must not have; empty: nothing."""
        return "; ".join(self._disturbances())

    def assert_untouched(self) -> None:
        """Raise AssertionError if any canary was changed, reached or ended."""
        found = self.disturbed()
        assert not found, found

    def _disturbances(self) -> Iterator[str]:
        if {path.name: path.read_text() for path in self.out.iterdir()} != {"canary": CANARY}:
            yield "a folder outside all grants was changed"
        if (self.workspace / "hard-link").read_text() != CANARY:
            yield "a file outside all grants was changed through a hard link"
        if self.canary_process.poll() is not None:
            yield "a process of the host was ended from inside"
        for place in ("/dev/shm", "/tmp"):
            if Path(place, self.facts["shared_memory"]).read_text() != CANARY:
                yield f"a file in the host's {place} was changed"
        for listener in self.listeners:
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                yield f"a service of the host was reached: {listener.getsockname()!r}"


@contextmanager
def stage(uid: int | None = None) -> Generator[Stage]:
    """Set up the canaries for a method that `uid` runs; as root for any user, else for ourselves."""
    uid = os.geteuid() if uid is None else uid
    folder = Path(tempfile.mkdtemp(prefix="hutch-contract-"))
    try:
        with ExitStack() as stack:
            folder.chmod(0o700)
            secret = f"planted-{secrets.token_hex(16)}"
            _fill(folder, stack)
            name = f"hutch-canary-{folder.name}"
            listeners = _listeners(stack, name)
            for place in (Path("/dev/shm", name), Path("/tmp", name)):
                place.write_text(CANARY, encoding="utf-8")
                stack.callback(place.unlink, missing_ok=True)
                os.chown(place, uid, uid if uid != os.geteuid() else -1)
            _own(folder, uid)
            process = _sleeper(stack, uid)
            facts = {
                "out": str(folder / "out"),
                "process_canary": process.args[-1],  # type: ignore[index]  # we gave it a list
                "canary_pid": process.pid,
                "secret_digest": hashlib.sha256(secret.encode()).hexdigest(),
                "service_port": listeners[0].getsockname()[1],
                "daemon_port": listeners[1].getsockname()[1],
                "host_addresses": _addresses(),
                "host_environment": sorted(os.environ),
                "private_folders": {path: _names(path) for path in _PRIVATE},
                "abstract_socket": name,
                "shared_memory": name,
                "ipc_key": _shared_memory(stack, name),
                "queue": f"/{name}",
            }
            yield Stage(folder, folder / "out", folder / "ws", listeners, secret, process, facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, stack: ExitStack) -> None:
    out, workspace = folder / "out", folder / "ws"
    out.mkdir()
    workspace.mkdir()
    (out / "canary").write_text(CANARY, encoding="utf-8")
    (workspace / "granted").write_text("granted\n", encoding="utf-8")
    (workspace / "hard-link").hardlink_to(out / "canary")
    (workspace / "link-out").symlink_to(out / "canary")
    os.mkfifo(workspace / "pipe")
    reader = os.open(workspace / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    stack.callback(os.close, reader)
    (workspace / ".git").mkdir()
    (workspace / ".git/config").write_text("[core]\n\tbare = false\n", encoding="utf-8")
    for name, kind in (("service.sock", socket.SOCK_STREAM), ("datagram.sock", socket.SOCK_DGRAM)):
        here = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        here.bind(str(workspace / name))
        if kind is socket.SOCK_STREAM:
            here.listen()
    if os.geteuid() == 0:
        with suppress(PermissionError):  # root of a container may not
            os.mknod(workspace / "device", 0o020666, os.makedev(1, 3))


def _listeners(stack: ExitStack, name: str) -> tuple[socket.socket, ...]:
    """Two services on loopback and one on an abstract unix socket."""
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    abstract.bind("\0" + name)
    abstract.listen()
    loopback = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
    for listener in (*loopback, abstract):
        listener.settimeout(0)
    return (*loopback, abstract)


def _own(folder: Path, uid: int) -> None:
    if uid != os.geteuid():
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)


def _sleeper(stack: ExitStack, uid: int) -> "subprocess.Popen[bytes]":
    """A process of the user that the attacks look for by its seconds, and try to end."""
    number = str(10**9 + secrets.randbelow(10**9))
    is_other = uid != os.geteuid()
    process = subprocess.Popen(
        ["/bin/sleep", number],
        env={"CANARY": "environment"},
        stdin=subprocess.DEVNULL,
        user=uid if is_other else None,
        group=uid if is_other else None,
        extra_groups=() if is_other else None,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _shared_memory(stack: ExitStack, name: str) -> int:
    """Make System V and POSIX objects of the host that everybody may open; returns their key."""
    key, queue = secrets.randbelow(1 << 30) + 1, f"/{name}".encode()
    before = os.umask(0)
    memory, semaphores = _libc.shmget(key, 4096, 0o1666), _libc.semget(key, 1, 0o1666)
    messages, descriptor = _libc.msgget(key, 0o1666), _libc.mq_open(queue, 0o102, 0o666, None)
    os.umask(before)
    if memory >= 0:
        stack.callback(_libc.shmctl, memory, 0, None)
    if semaphores >= 0:
        stack.callback(_libc.semctl, semaphores, 0, 0)
    if messages >= 0:
        stack.callback(_libc.msgctl, messages, 0, None)
    if descriptor >= 0:
        stack.callback(_libc.mq_unlink, queue)
        os.close(descriptor)
    return key


def _names(folder: str) -> list[str]:
    try:
        return sorted(path.name for path in Path(folder).iterdir())
    except OSError:
        return []


def _addresses() -> list[str]:
    """Return this host's own addresses beside the loopback ones."""
    found: set[str] = set()
    with suppress(OSError):
        found |= {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        if trial.connect_ex(("192.0.2.1", 9)) == 0:
            found.add(trial.getsockname()[0])
    return sorted(address for address in found if not address.startswith("127."))
