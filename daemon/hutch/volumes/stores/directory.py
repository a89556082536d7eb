"""A store in a folder: the embedded default.

A write goes to a temporary file beside its place, is synced, is linked or renamed, and the folder is synced.
"""

import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread

from hutch.volumes.failures import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores.keys import checked
from hutch.volumes.stores.protocol import Condition, ObjectInfo

_LEFT_S = 86_400.0  # no write takes so long
_TEMPORARY = ".new-"  # no key's part begins with a dot
_MOUNT = "mount it, or put it back; nothing was written elsewhere"
_FULL = "store_full", "make room on its disk; nothing was thrown away"
_FORBIDDEN = "store_forbidden", "let the daemon's user write there"
_REFUSALS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
}


class DirectoryStore:
    """Objects as files below `root`, which is made at the first write. Several processes may share it."""

    dialect = ""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._required = ""

    def require(self, key: str) -> None:
        """From now on the folder is the store only while it holds this object: it may be unmounted."""
        self._required = key

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        return await to_thread.run_sync(self._get, key, start, end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        return await to_thread.run_sync(self._put, key, data, if_match)

    async def delete(self, key: str) -> None:
        await to_thread.run_sync(self._delete, key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        for info in await to_thread.run_sync(self._find, prefix):
            yield info

    async def tidy(self) -> int:
        """Remove what writes that were killed left a day ago or more; returns how many."""
        return await to_thread.run_sync(_tidy, self._root)

    def _get(self, key: str, start: int, end: int | None) -> tuple[bytes, str]:
        checked(key)
        with _failures(self._root, key), self._opened() as root:
            fd = os.open(root / key, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                status = os.fstat(fd)
                stop = status.st_size if end is None else min(end, status.st_size)
                return _read(fd, start, stop), _etag(status)
            finally:
                os.close(fd)

    def _put(self, key: str, data: bytes, if_match: Condition) -> str:
        checked(key)
        with _failures(self._root, key):
            if not self._required:
                _make_folders(self._root)
            with self._opened() as root:
                path = root / key
                _make_folders(path.parent)
                folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    return _write(folder, path.name, data, if_match)
                except FileExistsError:
                    raise ConflictError(key) from None
                finally:
                    os.close(folder)

    def _delete(self, key: str) -> None:
        checked(key)
        try:
            with _failures(self._root, key), self._opened() as root:
                (root / key).unlink()
                _sync_folder((root / key).parent)
        except NotFoundError:
            return

    def _find(self, prefix: str) -> Sequence[ObjectInfo]:
        try:
            with _failures(self._root, prefix), self._opened() as root:
                return _list(root, prefix)
        except NotFoundError:
            return []

    @contextmanager
    def _opened(self) -> Iterator[Path]:
        """The root, held open: whatever is mounted or moved meanwhile, all is done in this one folder."""
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._required:
                raise StoreError(f"the folder {self._root} is not there", "store_gone", _MOUNT) from None
            raise
        try:
            root = Path(f"/proc/self/fd/{fd}")
            if self._required and not (root / self._required).exists():
                raise StoreError(f"{self._root} does not hold the store any more", "store_gone", _MOUNT)
            yield root
        finally:
            os.close(fd)


@contextmanager
def _failures(root: Path, key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(key) from None
    except OSError as error:
        told = f"object {key!r} of the store in '{root}': {error.strerror or error}"
        raise StoreError(told, *_REFUSALS.get(error.errno or 0, ())) from error


def _raise_unless_missing(error: OSError) -> None:
    # A folder that cannot be listed must never look like an empty one.
    if not isinstance(error, FileNotFoundError):
        raise error


def _list(root: Path, prefix: str) -> list[ObjectInfo]:
    found: list[ObjectInfo] = []
    # A prefix need not end at a slash, so its last part is compared with names.
    for folder, folders, names in os.walk(root / prefix.rpartition("/")[0], onerror=_raise_unless_missing):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            key = path.relative_to(root).as_posix()
            if key.startswith(prefix) and not name.startswith("."):
                found += _listed(path, key)
    return sorted(found, key=lambda info: info.key)


def _tidy(root: Path) -> int:
    removed = 0
    with _failures(root, _TEMPORARY):
        fd, own = tempfile.mkstemp(prefix=_TEMPORARY, dir=root)
        now = os.fstat(fd).st_mtime  # by the clock of the file system, as the others have it
        os.close(fd)
        Path(own).unlink()
        for folder, _, names in os.walk(root, onerror=_raise_unless_missing):
            for path in (Path(folder, name) for name in names if name.startswith(_TEMPORARY)):
                with suppress(FileNotFoundError):
                    if now - path.lstat().st_mtime > _LEFT_S:
                        path.unlink()
                        removed += 1
    return removed


def _listed(path: Path, key: str) -> list[ObjectInfo]:
    try:
        status = path.lstat()
    except FileNotFoundError:  # deleted since
        return []
    if not stat.S_ISREG(status.st_mode):
        return []
    return [ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))]


def _read(fd: int, start: int, stop: int) -> bytes:
    data = os.pread(fd, max(0, stop - start), start)
    if len(data) == max(0, stop - start):
        return data
    parts = [data]
    while parts[-1]:  # one read stops at 2 GiB
        start += len(parts[-1])
        parts.append(os.pread(fd, stop - start, start))
    return b"".join(parts)


def _etag(status: os.stat_result) -> str:
    # Every write makes a new inode. A number that the file system uses again meets another time.
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _make_folders(path: Path) -> None:
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(folder: int, name: str, data: bytes, if_match: Condition) -> str:
    """Raises FileExistsError where the condition does not hold."""
    temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        etag = _etag(os.fstat(fd))
        if if_match == "absent":
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        else:
            with _locked(folder):  # so that nothing moves between the comparison and the rename
                if if_match is not None and _etag_of(folder, name) != if_match:
                    raise FileExistsError
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                temporary = ""
        os.fsync(folder)
    finally:
        os.close(fd)
        if temporary:
            os.unlink(temporary, dir_fd=folder)
    return etag


def _etag_of(folder: int, name: str) -> str | None:
    try:
        return _etag(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


@contextmanager
def _locked(folder: int) -> Iterator[None]:
    # Each caller opened the folder itself, so threads exclude each other too
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)
