"""A run's output on disk: two files that grow, bounded, readable while they are written."""

import os
from collections import deque
from pathlib import Path

import anyio

from hutch.supervisor import Stream

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_TAIL_BYTES = 64 * 1024  # of what came beyond the bound, the end is kept: that is where errors stand


class RunLog:
    """The output of one run while it lives.

    Each stream keeps its first `max_bytes`; of what comes beyond, the last 64 KiB are kept in memory and
    written at the end behind a line that says how much is missing. A full disk drops output, never the run.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._files = {name: _LogFile(folder / name, max_bytes) for name in ("stdout", "stderr")}
        self._grown = anyio.Event()

    def write(self, stream: Stream, data: bytes) -> None:
        self._files[stream].write(data)
        self.wake()

    def close(self) -> None:
        """Write what is held back, and close. Idempotent."""
        for file in self._files.values():
            file.close()
        self.wake()

    def size(self, stream: Stream) -> int:
        """Bytes on disk."""
        return self._files[stream].size

    def tail(self, stream: Stream, limit: int) -> bytes:
        """The last of what is on disk."""
        return read_log(self._files[stream].path, max(self.size(stream) - limit, 0), limit)[0]

    @property
    def dropped_bytes(self) -> int:
        return sum(file.dropped for file in self._files.values())

    async def grown(self) -> None:
        """Return when something was written, or the log was closed, since this call began."""
        await self._grown.wait()

    def wake(self) -> None:
        """Let those who wait for growth look again."""
        self._grown.set()
        self._grown = anyio.Event()


class _LogFile:
    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._fd = -1  # opened by the first output: many commands have none
        self._is_closed = False
        self._max = max_bytes
        self._beyond: deque[bytes] = deque()
        self._beyond_bytes = 0
        self.size = 0
        self.dropped = 0

    def write(self, data: bytes) -> None:
        room = max(self._max - self.size, 0) if not self.dropped and not self._beyond else 0
        self._put(data[:room])
        if rest := data[room:]:
            self._beyond.append(rest)
            self._beyond_bytes += len(rest)
            while self._beyond_bytes - len(self._beyond[0]) >= _TAIL_BYTES:
                gone = len(self._beyond.popleft())
                self._beyond_bytes -= gone
                self.dropped += gone

    def close(self) -> None:
        if self._beyond:
            if self.dropped:
                self._put(f"\n[hutch: {self.dropped} bytes of output left out here]\n".encode())
            for data in self._beyond:
                self._put(data)
            self._beyond.clear()
        self._is_closed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put(self, data: bytes) -> None:
        try:
            if data and self._fd < 0 and not self._is_closed:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._fd = os.open(self.path, _NEW_FILE, 0o600)
            while data:
                written = os.write(self._fd, data)
                self.size += written
                data = data[written:]
        except OSError:
            self.dropped += len(data)


def read_log(path: Path, start: int, limit: int) -> tuple[bytes, int]:
    """Return up to `limit` bytes from `start`, and the file's size now. A missing log is an empty one."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            return file.read(limit), size
    except FileNotFoundError:
        return b"", 0
