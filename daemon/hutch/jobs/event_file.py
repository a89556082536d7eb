"""The file of a job's events: whole lines appended by one process, read by others while it grows."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import anyio

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_LOOK_S = 1.0  # between two attempts at what a full disk did not take
_PIECE = 1 << 20  # bytes read at once


@dataclass(slots=True)
class EventFile:
    """The writer's side. A disk without room keeps lines waiting, in memory, and tears none."""

    path: Path
    _fd: int = field(init=False)
    _size: int = field(init=False)
    _waiting: bytes = b""

    def __post_init__(self) -> None:
        self._fd = os.open(self.path, _APPEND, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, line: bytes) -> None:
        """Append a line, after those that wait."""
        self._waiting += line
        self.retry()

    async def keep_writing(self) -> None:
        """Write what waits as soon as there is room, until cancelled."""
        while True:
            await anyio.sleep(_LOOK_S)
            self.retry()

    async def written(self) -> None:
        """Return when nothing waits."""
        while self._waiting:
            await anyio.sleep(_LOOK_S)
            self.retry()

    def retry(self) -> None:
        """Append what waits, if it can be."""
        while self._waiting:
            try:
                written = os.write(self._fd, self._waiting)
            except OSError:
                return
            if written < len(self._waiting):  # a torn line goes again: whoever reads meets whole ones
                os.ftruncate(self._fd, self._size)
                return
            self._size += written
            self._waiting = b""


@dataclass(slots=True)
class EventReader:
    """The reader's side: whole lines, from the first one on."""

    path: Path
    _at: int = 0

    def lines(self) -> list[bytes]:
        """Return the lines that have come since; empty: none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                data = file.read(_PIECE)
                while data and b"\n" not in data and (more := file.read(_PIECE)):
                    data += more
        except FileNotFoundError:
            return []
        whole, newline, _ = data.rpartition(b"\n")
        self._at += len(whole) + len(newline)
        return whole.split(b"\n") if newline else []
