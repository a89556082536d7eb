"""Sees at once when somebody of the host replaces a protected path while a sandbox has the folder.

The kernel takes a mount away with the name that it stood on, and then the sandbox could write the new file.
Inside, a name that is a mount point can be neither removed nor renamed, so what inotify tells of such a name
was done by the host. Its queue may overflow, and a folder may be one watch too many: so all is looked at once
a second besides.
"""

import math
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from hutch_launchers.ways import Names

_PAUSE_S = 0.002  # between two reads: a sandbox may make files without end beside what is watched
_LOOK_S = 1.0


@dataclass(slots=True)
class Watch:
    """Over some paths of one workspace, from before they are mounted."""

    _names: Names
    _stood: dict[Path, tuple[int, int]]  # device and inode of each
    _folders: dict[int, Path] = field(default_factory=dict)  # by the number of its watch

    async def replaced(self) -> Path:
        """Return the first of the paths that is not what it was, as soon as it is not."""
        looked_at = -math.inf
        while True:
            if time.monotonic() - looked_at >= _LOOK_S:
                looked_at = time.monotonic()
                if found := self._other_than_it_was():
                    return found
            with anyio.move_on_after(_LOOK_S):
                await anyio.wait_readable(self._names.fileno())
                if found := self._heard():
                    return found
            await anyio.sleep(_PAUSE_S)

    def _heard(self) -> Path | None:
        for number, name in self._names.heard():
            if number in self._folders and (path := self._folders[number] / name) in self._stood:
                return path
        return None

    def _other_than_it_was(self) -> Path | None:
        return next((path for path, stood in self._stood.items() if _identity(path) != stood), None)


@contextmanager
def watched(paths: Collection[Path]) -> Iterator[Watch]:
    """Watch paths for the length of the block. Raises OSError where a user has no more inotify instances."""
    with closing(Names()) as names:
        watch = Watch(names, {path: stood for path in paths if (stood := _identity(path))})
        for folder in {path.parent for path in watch._stood}:
            if (number := names.watch(folder)) is not None:
                watch._folders[number] = folder
        yield watch


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
