"""A folder of the host that is changed: every path beneath it by descriptors, no link followed."""

import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hutch.workspaces.look import Stamp, stamp_of

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


_libc = ctypes.CDLL(None, use_errno=True)


def _on() -> None:
    """Nothing stands in the way of a change."""


class Tree:
    """Paths are relative. Methods raise OSError; a link on the way is one."""

    def __init__(self, root: Path | int, before_each: Callable[[], None] = _on) -> None:
        """`root`: a path, or the descriptor of an open folder, which stays the caller's."""
        self._fd = os.dup(root) if isinstance(root, int) else os.open(root, _FOLDER)
        self._before_each = before_each  # called before every change

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds `path`; yields its descriptor and the last name."""
        *above, name = path.split("/")
        fd = os.dup(self._fd)
        try:
            for part in above:
                inner = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd, name
        finally:
            os.close(fd)

    def status(self, path: str) -> os.stat_result | None:
        try:
            with self.parent(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stamp(self, path: str) -> Stamp | None:
        status = self.status(path)
        return None if status is None else stamp_of(status)

    def is_folder(self, path: str) -> bool:
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def target(self, path: str) -> str:
        """Return what a link says."""
        with self.parent(path) as (fd, name):
            return os.readlink(name, dir_fd=fd)

    def owner(self, path: str) -> tuple[int, int]:
        """Return the user and group of what is there, or of the folder that it would come into."""
        while (status := self.status(path)) is None and "/" in path:
            path = path.rpartition("/")[0]
        status = status or os.fstat(self._fd)
        return status.st_uid, status.st_gid

    def move(self, path: str, to: str) -> None:
        """Rename, over what may be there."""
        self._before_each()
        with self.parent(path) as (fd, name), self.parent(to) as (to_fd, to_name):
            os.rename(name, to_name, src_dir_fd=fd, dst_dir_fd=to_fd)

    def link(self, path: str, to: str) -> None:
        """Give a file or link a second name."""
        self._before_each()
        with self.parent(path) as (fd, name), self.parent(to) as (to_fd, to_name):
            os.link(name, to_name, src_dir_fd=fd, dst_dir_fd=to_fd, follow_symlinks=False)

    def make_folder(self, path: str, mode: int) -> None:
        self._before_each()
        owner = self.owner(path)
        with self.parent(path) as (fd, name):
            os.mkdir(name, mode, dir_fd=fd)
            if os.geteuid() == 0:
                os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)

    def remove_folder(self, path: str) -> None:
        self._before_each()
        with self.parent(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def remove(self, path: str) -> None:
        self._before_each()
        with self.parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    def set_mode(self, path: str, mode: int) -> None:
        """Of a folder or regular file."""
        self._before_each()
        with self.parent(path) as (fd, name):
            inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
            try:
                os.fchmod(inner, mode)
            finally:
                os.close(inner)

    def sync(self, path: str) -> None:
        """See that the names in the folder that holds `path` are on the disk."""
        with self.parent(path) as (fd, _):
            os.fsync(fd)

    def sync_all(self) -> None:
        """See that the whole filesystem is on the disk."""
        if _libc.syncfs(self._fd):
            raise OSError(number := ctypes.get_errno(), os.strerror(number))

    @contextmanager
    def new_file(self, path: str, *, syncs: bool = True) -> Iterator[int]:
        """Make a file; yields its descriptor. With `syncs` it is on the disk when the block is left."""
        self._before_each()
        with self.parent(path) as (parent, name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                yield fd
                if syncs:
                    os.fsync(fd)
            finally:
                os.close(fd)

    def new_link(self, path: str, target: str) -> None:
        self._before_each()
        with self.parent(path) as (fd, name):
            os.symlink(target, name, dir_fd=fd)

    def remove_all(self, path: str) -> None:
        """Remove a folder of files and folders of files; what is gone is no error."""
        try:
            with self.parent(path) as (fd, name):
                inner = os.open(name, _FOLDER, dir_fd=fd)
        except FileNotFoundError:
            return
        names = os.listdir(inner)  # noqa: PTH208 - a descriptor has no path
        os.close(inner)
        for name in names:
            if self.is_folder(f"{path}/{name}"):
                self.remove_all(f"{path}/{name}")
            else:
                self.remove(f"{path}/{name}")
        self.remove_folder(path)

    def read(self, path: str, limit: int) -> bytes:
        """Return the beginning of a regular file."""
        with self.open_file(path) as fd:
            parts = []
            while limit > 0 and (data := os.read(fd, limit)):
                parts.append(data)
                limit -= len(data)
            return b"".join(parts)

    @contextmanager
    def open_file(self, path: str) -> Iterator[int]:
        """Open a regular file to be read; anything else is an OSError."""
        with self.parent(path) as (parent, name):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise OSError(f"{path} is no regular file")
                yield fd
            finally:
                os.close(fd)
