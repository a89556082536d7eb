"""The way to a file of the host, name by name: tells whether one of the names came or went meanwhile.

A path that leads to the same file before and after can have led elsewhere in between: a rename each way takes
a microsecond. The kernel tells of both: inotify(7).
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CAME_OR_WENT = 0x40 | 0x80 | 0x100 | 0x200  # IN_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE
_ONLYDIR, _DONT_FOLLOW = 0x01000000, 0x02000000
_OVERFLOW = -1  # the number of what is told of no folder: IN_Q_OVERFLOW
_HEAD = struct.Struct("iIII")  # folder, what, cookie, length of the name
_READ = 1 << 18


class Names:
    """Names that come or go in some folders. Raises OSError where a user has no more inotify instances."""

    def __init__(self) -> None:
        self._fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(number := ctypes.get_errno(), os.strerror(number))

    def fileno(self) -> int:
        return self._fd

    def watch(self, folder: Path, *, follows: bool = False) -> int | None:
        """Return the number by which the folder is told of; None where it cannot be watched.

        `follows`: a link in its place too.
        """
        flags = _CAME_OR_WENT | _ONLYDIR | (0 if follows else _DONT_FOLLOW)
        number = _libc.inotify_add_watch(self._fd, os.fsencode(folder), flags)
        return number if number >= 0 else None

    def heard(self) -> Iterator[tuple[int, str]]:
        """What is told since the last time: the folder's number, and the name. Does not wait."""
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._fd, _READ)
        at = 0
        while at < len(data):
            folder, _, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            yield folder, os.fsdecode(data[at - length : at].rstrip(b"\0"))

    def close(self) -> None:
        os.close(self._fd)


class Way:
    """Some names, each in its folder, watched from when they are added."""

    def __init__(self) -> None:
        self._names: Names | None = None
        self._watched: set[tuple[int, str]] = set()

    def add(self, folder: Path, name: str) -> None:
        """Watch a name in a folder. One that we may not read is not watched. Raises OSError."""
        self._names = self._names or Names()
        number = self._names.watch(folder, follows=True)
        if number is not None:
            self._watched.add((number, name))

    def has_moved(self) -> bool:
        """Whether any of the names came or went, as far as can be told: it did where too much is told."""
        if self._names is None:
            return False
        return any(told in self._watched or told[0] == _OVERFLOW for told in self._names.heard())

    def close(self) -> None:
        if self._names is not None:
            self._names.close()
            self._names = None


_libc = ctypes.CDLL(None, use_errno=True)
