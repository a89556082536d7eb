"""Holds bubblewrap after its mounts, before its command, where it looks up the source of one by its path.

Its last mount is a file whose content it reads to the end: that is what it waits for. The pipe is full until
it has come that far.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import anyio

from hutch_launchers.launcher import LauncherError
from hutch_launchers.ways import Way

_PAGE = 4096
_F_SETPIPE_SZ = 1031  # fcntl(2)


class Hold:
    """Begins before the sources are opened and compared. Owns its end of the pipe until `close`."""

    def __init__(self, sources: Iterable[Path], inherited: ExitStack) -> None:
        """`inherited` closes what bubblewrap inherits. Raises OSError."""
        self._way = Way()
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        inherited.callback(os.close, self.reader)
        try:
            os.set_blocking(self._writer, False)
            size = fcntl.fcntl(self._writer, _F_SETPIPE_SZ, _PAGE)
            os.write(self._writer, bytes(size))
            for source in sources:
                for path in {source, Path(os.path.realpath(source))}:
                    self._watch(path)
        except BaseException:
            self.close()
            raise

    def _watch(self, path: Path) -> None:
        for here in (path, *path.parents):
            if here.name:
                self._way.add(here.parent, here.name)

    async def pass_on(self) -> None:
        """Wait for the mounts, and let bubblewrap go on. Raises LauncherError: it must be killed then."""
        await anyio.wait_writable(self._writer)  # also when it has ended
        if self._way.has_moved():
            raise LauncherError(
                "sandbox_failed",
                "a folder on the way to a mount was moved or replaced at the start",
                "run again when nothing else is at work above it",
            )
        self.close()

    def close(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        self._way.close()
