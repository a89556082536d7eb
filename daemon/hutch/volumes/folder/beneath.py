"""Opens what lies beneath a folder without ever following a symbolic link (invariant 14).

The folder's content may be an attacker's and may change while it is read. Depth and the length of paths
are bounded by neither the stack, PATH_MAX nor the number of descriptors.
"""

import ctypes
import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

_OPENAT2 = 437  # one number on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_PIECE_BYTES = 4000  # of a path in one system call; PATH_MAX is 4,096
_HELD_FOLDERS = 64  # descriptors of one walk
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block us

_libc = ctypes.CDLL(None, use_errno=True)


class TreeMovedError(Exception):
    """A folder was moved while it was being walked; try again."""


class _OpenHow(ctypes.Structure):
    """struct open_how, openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _Support:
    openat2 = True  # until the kernel, or a filter, says no


def open_beneath(root: int, path: bytes, flags: int = FILE_FLAGS, mode: int = 0) -> int:
    """Open `path`, relative to the folder `root`, through folders only. The caller closes it.

    Raises:
        OSError: also ELOOP or ENOTDIR where a link stands in the way.
    """
    if len(path) <= _PIECE_BYTES:
        return _open(root, path, flags, mode)
    head = path.rfind(b"/", 0, _PIECE_BYTES)
    folder = _open(root, path[:head], FOLDER_FLAGS, 0)
    try:
        while len(path) - head - 1 > _PIECE_BYTES:
            start, head = head + 1, path.rfind(b"/", 0, head + 1 + _PIECE_BYTES)
            deeper = _open(folder, path[start:head], FOLDER_FLAGS, 0)
            os.close(folder)
            folder = deeper
        return _open(folder, path[head + 1 :], flags, mode)
    finally:
        os.close(folder)


def read_file(folder: Path, path: bytes, limit: int) -> bytes | None:
    """The beginning of a file in a folder; None where there is none, or a link stands in the way."""
    try:
        root = os.open(folder, FOLDER_FLAGS)
        try:
            fd = open_beneath(root, path.removeprefix(b"/"))
        finally:
            os.close(root)
    except OSError:
        return None
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None


def _open(root: int, path: bytes, flags: int, mode: int) -> int:
    if not path:
        return os.open(".", flags, dir_fd=root)
    if b"/" not in path:
        return os.open(path, flags | os.O_NOFOLLOW, mode, dir_fd=root)
    if _Support.openat2:
        resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
        how = _OpenHow(flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, resolve)
        fd: int = _libc.syscall(_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EPERM, errno.E2BIG):
            raise OSError(code, os.strerror(code), os.fsdecode(path))
        _Support.openat2 = code == errno.EPERM  # EPERM may be this file's own answer
    return _open_step_by_step(root, path, flags, mode)


def _open_step_by_step(root: int, path: bytes, flags: int, mode: int) -> int:
    *folders, name = path.split(b"/")
    folder = os.dup(root)
    try:
        for part in folders:
            deeper = os.open(part, FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    finally:
        os.close(folder)


class Descent:
    """A walk down and up a tree by descriptors, holding few of them. `fd` is the folder it is in."""

    def __init__(self, root: int) -> None:
        """Start in the folder of `root`, which stays the caller's."""
        fd = os.open(".", FOLDER_FLAGS, dir_fd=root)
        # -1: closed for now
        self._levels: list[tuple[int, tuple[int, int]]] = [(fd, _identity(os.fstat(fd)))]

    @property
    def fd(self) -> int:
        return self._levels[-1][0]

    def down(self, name: bytes, expected: os.stat_result | None = None) -> None:
        """Enter a folder, which must be the one of `expected`. Raises TreeMovedError, OSError."""
        try:
            fd = os.open(name, FOLDER_FLAGS, dir_fd=self.fd)
        except (FileNotFoundError, NotADirectoryError):
            if expected is None:
                raise
            raise TreeMovedError from None
        identity = _identity(os.fstat(fd))
        self._levels.append((fd, identity))
        if len(self._levels) > _HELD_FOLDERS:
            oldest, its_identity = self._levels[-_HELD_FOLDERS - 1]
            if oldest >= 0:  # else it was closed on an earlier way down
                os.close(oldest)
            self._levels[-_HELD_FOLDERS - 1] = (-1, its_identity)
        if expected is not None and _identity(expected) != identity:
            raise TreeMovedError

    def up(self) -> None:
        """Go back to the folder that this one was entered from. Raises TreeMovedError when it was moved."""
        fd, _ = self._levels.pop()
        try:
            parent, identity = self._levels[-1]
            if parent < 0:
                parent = os.open("..", FOLDER_FLAGS, dir_fd=fd)
                self._levels[-1] = (parent, identity)
                if _identity(os.fstat(parent)) != identity:
                    raise TreeMovedError
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd, _ in self._levels:
            if fd >= 0:
                os.close(fd)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def remove_tree(parent: int, name: bytes) -> None:
    """Remove whatever `name` is, with all below it; nothing there is no error. No link is followed."""
    if not _remove(parent, name):
        with Descent(parent) as descent:
            _empty(descent, name)


def _empty(descent: Descent, name: bytes) -> None:
    """Remove a folder that is not empty, bottom up."""
    entered = [(name, _enter_to_empty(descent, name))]
    while entered:
        name, folders = entered[-1]
        if folders:
            deeper = folders.pop()
            entered.append((deeper, _enter_to_empty(descent, deeper)))
        else:
            entered.pop()
            descent.up()
            os.rmdir(name, dir_fd=descent.fd)


def _enter_to_empty(descent: Descent, name: bytes) -> list[bytes]:
    """Go into a folder, remove the files in it and return the folders."""
    try:
        descent.down(name)
    except PermissionError:
        grant(descent.fd, name, 0o700)
        descent.down(name)
    if os.fstat(descent.fd).st_mode & 0o700 != 0o700:
        os.fchmod(descent.fd, 0o700)
    folders = []
    with os.scandir(descent.fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(os.fsencode(entry.name))
            else:
                os.unlink(entry.name, dir_fd=descent.fd)
    return folders


def grant(folder: int, name: bytes, mode: int) -> None:
    """Set the mode of a file or folder that cannot be opened. TreeMovedError: it is a link, or gone."""
    try:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise TreeMovedError from None
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise TreeMovedError
        os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101 - the kernel's own link to what was just opened
    finally:
        os.close(fd)


def _remove(folder: int, name: bytes) -> bool:
    """Remove a file or an empty folder; False: it is a folder and has something in it, or may."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True
