"""What the host's /proc tells of a sandbox's processes; every answer may be old when it comes."""

import os
import re
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space, a tab, a line's end, a backslash


def descendants(pid: int) -> Iterator[int]:
    """The processes below `pid`, parents first. In a PID namespace's init: all of the namespace."""
    todo = [pid]
    while todo:
        for child in children(todo.pop()):
            yield child
            todo.append(child)


def children(pid: int) -> list[int]:
    """The children of every thread of `pid`, in no order; none when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def program(pid: int) -> str | None:
    """The file that it runs; None: it is gone, or not ours to know."""
    with suppress(OSError):
        return str((_PROC / str(pid) / "exe").readlink())
    return None


def mount_points(kinds: Container[str] | None = None) -> tuple[str, ...]:
    """Where something is mounted in our own view, in order; of these kinds of file systems, or of all."""
    text = (_PROC / "self" / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    mounts = (line.partition(" - ") for line in text.splitlines())
    points = [
        mount.split(" ")[4] for mount, _, kind in mounts if kinds is None or kind.split(" ")[0] in kinds
    ]
    return tuple(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), point) for point in points)


def all_pids() -> Iterator[int]:
    """Every process that there is."""
    return (int(folder.name) for folder in _PROC.iterdir() if folder.name.isdigit())


def command_line(pid: int) -> list[str]:
    """The words that it was started with; none when it is gone."""
    with suppress(OSError):
        words = (_PROC / str(pid) / "cmdline").read_bytes()
        return words.decode(errors="surrogateescape").split("\0")[:-1]
    return []


def inner_pid(pid: int) -> int | None:
    """Its number in its own, innermost PID namespace."""
    fields = _status(pid).get("NSpid", "").split()
    return int(fields[-1]) if fields else None


def started(pid: int) -> int | None:
    """When it was started, in ticks since the host's start; None: it has ended.

    Its number is nobody else's together with this.
    """
    with suppress(OSError, IndexError):
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    return None


def parent(pid: int) -> int | None:
    """Of which it is a child by now; None: it is gone."""
    found = _status(pid).get("PPid")
    return int(found) if found else None


def threads(pid: int) -> int:
    """How many tasks it has; 0: it is gone."""
    return int(_status(pid).get("Threads", "0"))


def cpu_s(pid: int) -> float:
    """CPU time that all of its threads have taken; 0: it is gone."""
    with suppress(OSError, IndexError):
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def private_bytes(pid: int) -> int:
    """Resident memory that is its own or shared memory; shared parts count in every process that has them."""
    status = _status(pid)
    return sum(int(status.get(key, "0 kB").split()[0]) * 1024 for key in ("RssAnon", "RssShmem"))


def proportional_bytes(pid: int) -> tuple[int, int]:
    """Its share of the memory that is mapped, and of that the anonymous part.

    Exact, and dear: the kernel walks its page tables.
    """
    with suppress(OSError):
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
        found = {line.split()[0]: int(line.split()[1]) * 1024 for line in text.splitlines()[1:]}
        return found.get("Pss:", 0), found.get("Pss_Anon:", 0)
    return 0, 0


def nameless_file_bytes(pids: Iterable[int]) -> int:
    """Memory of the nameless files that they hold open (memfd_create(2)), each once, mapped or not."""
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        with suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as entries:
            for entry in entries:
                with suppress(OSError):
                    if str(Path(entry.path).readlink()).startswith("/memfd:"):
                        status = entry.stat()
                        found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def pids_with_environment(entry: str) -> Iterator[int]:
    """The processes of ours, except this one, that were started with `NAME=value` in their environment."""
    wanted = entry.encode()
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)


def pids_of_user(uid: int) -> Iterator[int]:
    """The processes that run as this user, dead ones whose parent has not looked left out."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            status = _status(int(folder.name))
            if str(uid) in status.get("Uid", "").split() and not status.get("State", "").startswith("Z"):
                yield int(folder.name)


def pids_with_argument(word: str) -> Iterator[int]:
    """The processes that were started with this word in their command."""
    wanted = word.encode()
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if wanted in (folder / "cmdline").read_bytes().split(b"\0"):
                    yield int(folder.name)


def _status(pid: int) -> dict[str, str]:
    with suppress(OSError):
        text = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
        return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return {}
