"""Namespaces, by numbers that the kernel gives no second time, and what holds one."""

import fcntl
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

_GET_ID = 0x8008B70D  # NS_GET_ID of linux/nsfs.h, since Linux 6.18; inode numbers are soon another's
_LINK = re.compile(r"[a-z]+:\[\d+\]")


def namespaces_of(pid: int) -> set[int]:
    """Those that a process is in; empty where the kernel does not number them."""
    return {number for _, number in _opened(Path(f"/proc/{pid}/ns").glob("*"))}


def holders(wanted: Collection[int]) -> Iterator[str]:
    """What keeps any of these alive: a process in it, a descriptor of one, a mount."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    points = (Path(words[4]) for words in mounts if words[words.index("-") + 1] == "nsfs")
    for places in (Path("/proc").glob("[0-9]*/ns/*"), _descriptors(), points):
        yield from (str(path) for path, number in _opened(places) if number in wanted)


def _descriptors() -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if _LINK.fullmatch(str(path.readlink())):
                yield path


def _opened(paths: Iterator[Path]) -> Iterator[tuple[Path, int]]:
    while True:
        with suppress(OSError):  # it has ended, or is of no namespace, or the kernel is older
            path = next(paths, None)
            if path is None:
                return
            yield path, _number(path)


def _number(path: Path) -> int:
    number = bytearray(8)
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(namespace, _GET_ID, number)
    finally:
        os.close(namespace)
    return int.from_bytes(number, "little")
