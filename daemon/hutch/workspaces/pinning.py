"""A folder of the host held open, reached from a granted folder with no link on the way.

Another sandbox may have a folder above it, and may put a link in the place of any name on the way, at any
time. So what is written is written by the descriptor, what is mounted is compared with it, and what was
looked at by the path counts only if no name on the way came or went meanwhile.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hutch.errors import HutchError
from hutch_launchers.ways import Way

_ON_THE_WAY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Pinned:
    """A folder that is open. `folder` is its path, which may lead elsewhere by now."""

    folder: Path
    fd: int
    _way: Way

    @property
    def identity(self) -> tuple[int, int]:
        """Its device and inode: no other has them while it is open."""
        status = os.fstat(self.fd)
        return status.st_dev, status.st_ino

    @property
    def here(self) -> Path:
        """The folder itself, for this process."""
        return Path(f"/proc/self/fd/{self.fd}")

    def refuse_moved(self) -> None:
        """Raise HutchError `workspace_denied` if its path can have led elsewhere since it was opened.

        The names on the way are not watched any more then.
        """
        has_moved = self._way.has_moved()
        self._way.close()
        if has_moved:
            raise HutchError(
                "workspace_denied",
                f"a folder on the way to {self.folder} was moved or replaced while it was prepared",
                "run again when nothing else is at work above it",
            )


@contextmanager
def pinned(folder: Path, roots: Collection[Path], *, watches: bool = False) -> Iterator[Pinned]:
    """Hold a folder open for the length of the block.

    The outermost of the granted `roots` above it may be reached through links, which are its owner's; below
    that there is none. What is in no root is reached from "/". `watches`: for `refuse_moved`.

    Raises HutchError `workspace_denied`, OSError.
    """
    root = min((each for each in roots if folder.is_relative_to(each)), default=Path("/"), key=_depth)
    with closing(Way()) as way:
        try:
            fd = _open(root, folder.relative_to(root).parts, way if watches else None)
        except OSError as error:
            raise HutchError(
                "workspace_denied",
                f"{folder} is no folder that can be reached without following a link: {error.strerror}",
                "name the folder itself; the daemon's owner lists what may be mounted in policy.workspaces",
            ) from error
        try:
            yield Pinned(folder, fd, way)
        finally:
            os.close(fd)


def _open(root: Path, names: tuple[str, ...], way: Way | None) -> int:
    fd = os.open(root, _ON_THE_WAY & ~os.O_NOFOLLOW)
    for name in (*names, "."):
        above = fd
        try:
            if way is not None and name != ".":
                way.add(Path(f"/proc/self/fd/{above}"), name)
            fd = os.open(name, _FOLDER if name == "." else _ON_THE_WAY, dir_fd=above)
        finally:
            os.close(above)
    return fd


def _depth(path: Path) -> int:
    return len(path.parts)
