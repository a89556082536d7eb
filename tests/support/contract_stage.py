"""The host as the contract's attacks find it: canaries outside every grant, services that nobody may reach.

Everything here belongs to the daemon's own user, so that a refusal is the sandbox's, not that of file modes.
"""

import ctypes
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANARY = "hutch-canary-outside-all-grants\n"
_IPC_KEY = 0x48555443
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. `facts` is what an attack program is told."""

    folder: Path  # private to the daemon's user
    out: Path
    workspace: Path
    service_port: int
    secret: str
    canary_process: "subprocess.Popen[bytes]"
    facts: dict[str, Any]

    def assert_untouched(self) -> None:
        """Raise AssertionError if any canary was changed, reached or ended."""
        assert {p.name: p.read_text() for p in self.out.iterdir()} == {"canary": CANARY}
        assert (self.workspace / "hard-link").read_text() == CANARY
        assert self.canary_process.poll() is None, "a process of the host was ended from inside"

    def arguments(self, daemon_port: int) -> str:
        return json.dumps({**self.facts, "daemon_port": daemon_port})


@contextmanager
def stage(uid: int, prefix: Sequence[str]) -> Generator[Stage]:
    """Set up the canaries for a daemon that runs as `uid`; `prefix` starts a program as that user."""
    folder = Path(tempfile.mkdtemp(prefix="hutch-contract-"))
    try:
        with ExitStack() as stack:
            folder.chmod(0o700)
            secret = f"planted-{hashlib.sha256(os.urandom(8)).hexdigest()}"
            _fill(folder, stack)
            service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            abstract, shared = f"hutch-canary-{folder.name}", f"hutch-canary-{folder.name}"
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind("\0" + abstract)
            listening.listen()
            for place in (Path("/dev/shm", shared), Path("/tmp", shared)):
                place.write_text(CANARY)
                stack.callback(place.unlink)
                os.chown(place, uid, uid)
            _own(folder, uid)
            process = subprocess.Popen([*prefix, "/bin/sleep", "987654"], env={"CANARY": "environment"})
            stack.callback(process.wait)
            stack.callback(process.kill)
            queue = _shared_memory(stack, shared, prefix)
            facts = {
                "out": str(folder / "out"),
                "process_canary": "987654",
                "secret_digest": hashlib.sha256(secret.encode()).hexdigest(),
                "service_port": service.getsockname()[1],
                "host_addresses": _addresses(),
                "abstract_socket": abstract,
                "shared_memory": shared,
                "ipc_key": _IPC_KEY,
                "queue": queue,
            }
            port = service.getsockname()[1]
            yield Stage(folder, folder / "out", folder / "ws", port, secret, process, facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, stack: ExitStack) -> None:
    out, workspace = folder / "out", folder / "ws"
    out.mkdir()
    workspace.mkdir()
    (out / "canary").write_text(CANARY)
    (workspace / "granted").write_text("granted\n")
    (workspace / "hard-link").hardlink_to(out / "canary")
    (workspace / "link-out").symlink_to(out / "canary")
    os.mkfifo(workspace / "pipe")
    reader = os.open(workspace / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    stack.callback(os.close, reader)
    subprocess.run(["git", "init", "-q", str(workspace)], check=False, env={"PATH": os.environ["PATH"]})
    for name, kind in (("service.sock", socket.SOCK_STREAM), ("datagram.sock", socket.SOCK_DGRAM)):
        here = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        here.bind(str(workspace / name))
        if kind is socket.SOCK_STREAM:
            here.listen()
    if os.geteuid() == 0:
        os.mknod(workspace / "device", 0o020666, os.makedev(1, 3))


def _own(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _shared_memory(stack: ExitStack, name: str, prefix: Sequence[str]) -> str:
    """Make System V and POSIX objects of the host with a known key, as the daemon's user."""
    script = (
        "import ctypes,sys;c=ctypes.CDLL(None);k=int(sys.argv[1]);q=('/'+sys.argv[2]).encode();"
        "c.shmget(k,4096,0o1666);c.semget(k,1,0o1666);c.msgget(k,0o1666);c.mq_open(q,0o102,0o666,None)"
    )
    remove = (
        "import ctypes,sys;c=ctypes.CDLL(None);k=int(sys.argv[1]);q=('/'+sys.argv[2]).encode();"
        "c.shmctl(c.shmget(k,0,0),0,None);c.semctl(c.semget(k,0,0),0,0);c.msgctl(c.msgget(k,0),0,None);c.mq_unlink(q)"
    )
    command = [*prefix, "/usr/bin/python3" if prefix else sys.executable, "-c"]
    subprocess.run([*command, script, str(_IPC_KEY), name], check=True)
    stack.callback(subprocess.run, [*command, remove, str(_IPC_KEY), name], check=True)
    return f"/{name}"


def _addresses() -> list[str]:
    """Return this host's own addresses beside the loopback ones."""
    found = {str(info[4][0]) for info in _resolved(socket.gethostname())}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        if trial.connect_ex(("192.0.2.1", 9)) == 0:
            found.add(trial.getsockname()[0])
    return sorted(a for a in found if not a.startswith("127."))


def _resolved(name: str) -> list[Any]:
    try:
        return list(socket.getaddrinfo(name, None))
    except OSError:
        return []
