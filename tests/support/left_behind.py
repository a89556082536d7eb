"""What a daemon and its sandboxes may leave on this host, and must not: what is there, told by name."""

import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from hutch_launchers.reaping import MARK
from support.container_engines import DOCKER_HOST, OWN, PODMAN
from support.namespaces import holders, namespaces_of

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run/hutch/gvisor", "/run/systemd/nspawn/propagate")
_GOING_S = 60.0  # what was killed may take on a busy host
_ENGINES = {"docker": ("docker", "--host", DOCKER_HOST), "podman": PODMAN}


def marked(ids: Collection[str]) -> dict[int, str]:
    """The processes that the host has started for one of these runs or sessions."""
    found = {}
    for pid, words in _environments():
        for word in words:
            name, _, value = word.partition(b"=")
            if name == MARK.encode() and value.decode() in ids:
                found[pid] = value.decode()
    return found


def saying(word: str) -> list[int]:
    """The processes that have `word` in their command, but for this one."""
    own = os.getpid()
    lines = ((pid, _read(Path(f"/proc/{pid}/cmdline"))) for pid in _pids())
    return [pid for pid, line in lines if word.encode() in line and pid != own]


def engines_of(daemon: int) -> list[int]:
    """What the engines run beside this daemon's containers: clients that start them, what watches them."""
    places = [*Path("/run/hutch/containers").glob(f"*-{OWN}/hutch-{daemon:x}-*")]
    words = {place.name.encode() for place in places}
    numbers = {_read(place / "number").partition(b" ")[2] for place in places} - {b""}
    lines = ((pid, _read(Path(f"/proc/{pid}/cmdline"))) for pid in _pids())
    return [
        pid
        for pid, line in lines
        if any(word in line for word in words)
        or (b"containerd-shim" in line and any(number in line for number in numbers))
    ]


@dataclass
class Traces:
    """What belongs to a daemon, by which what is left of it is known."""

    method: str
    folder: Path  # of the daemon
    word: str  # in the command of all that its sandboxes leave running
    ids: set[str] = field(default_factory=set)  # of runs and sessions
    namespaces: set[int] = field(default_factory=set)
    interfaces: frozenset[str] = field(default_factory=lambda: frozenset(_interfaces()))  # before it

    def look(self) -> set[int]:
        """The processes of its sandboxes now; the namespaces that they are in are noted."""
        found = {*marked(self.ids), *saying(self.word)}
        self.namespaces.update(*map(namespaces_of, found))
        return found

    async def left(self) -> list[str]:
        """All that stays of it, a while after it has ended."""
        self.namespaces -= namespaces_of(os.getpid())  # of the host, where a method shares them
        with anyio.move_on_after(_GOING_S):
            while self._there():
                await anyio.sleep(0.1)
        return self._there()

    def _there(self) -> list[str]:
        return [
            *left_behind(self.method, self.folder, self.ids, self.word),
            *(f"namespace {path}" for path in holders(self.namespaces)),
            *(f"interface {name}" for name in _interfaces() if name not in self.interfaces),
        ]


def left_behind(method: str, folder: Path, ids: Collection[str], word: str) -> list[str]:
    """All that is there of a daemon in `folder` that has ended, and of these runs and sessions."""
    names = {*ids, word}
    words = {*names, f"{folder}/"}
    processes = {*marked(ids), *saying(word), *saying(f"{folder}/")}
    return [
        *(f"process {pid}: {_read(Path(f'/proc/{pid}/cmdline'))!r}" for pid in processes),
        *(f"mount {line}" for line in _mounts() if _holds(line, words)),
        *(f"socket {line}" for line in _sockets() if _holds(line, words)),
        *(f"control group {path}" for path in _control_groups() if path.name in names),
        *(f"file {path}" for path in _temporary() if _holds(path.name, names)),
        *(f"container {line}" for line in _containers(method)),
    ]


def _holds(text: str, words: Collection[str]) -> bool:
    return any(word in text for word in words)


def _interfaces() -> list[str]:
    """Of the network, veths among them."""
    return [path.name for path in Path("/sys/class/net").iterdir()]


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _sockets() -> list[str]:
    return Path("/proc/net/unix").read_text().splitlines()


def _control_groups() -> Iterator[Path]:
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        yield from (Path(top, name) for name in folders)


def _temporary() -> Iterator[Path]:
    for place in {*_TEMPORARY, tempfile.gettempdir()}:
        if Path(place).is_dir():
            yield from Path(place).iterdir()


def _containers(method: str) -> Iterator[str]:
    for base in ("/run/hutch", "/tmp/hutch-1500"):
        yield from map(str, Path(base, "containers", f"{method}-{OWN}").glob("*"))
    if words := _ENGINES.get(method):
        asked = [*words, "ps", "--all", "--quiet", "--filter", "label=hutch.sandbox"]
        yield from subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for pid in _pids():
        yield pid, _read(Path(f"/proc/{pid}/environ")).split(b"\0")


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
