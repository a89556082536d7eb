"""Files beneath a folder that a hostile program has written: reached by descriptor, no link followed."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from hutch.errors import HutchError

_MOST_ENTRIES = 20_000  # looked at for one answer; there are some hundreds, and more is somebody's attack
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def folder_beneath(root: Path, *names: str, create: bool = False) -> Iterator[int]:
    """Open `root/names...` as a descriptor. Raises OSError; a link on the way is one (ELOOP or ENOTDIR)."""
    fd = os.open(root, _FOLDER)
    try:
        for name in names:
            if create:
                _make(name, fd)
            inner = os.open(name, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def read_small(folder: int, name: str, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes. Raises OSError, ValueError."""
    with file_beneath(folder, name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError("larger than expected")
    return data


@contextmanager
def file_beneath(folder: int, name: str) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Raises OSError, ValueError."""
    # O_NONBLOCK: a FIFO in the file's place must not hold the reader.
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor has no path
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        yield file


class Listing:
    """Looks through folders beneath `root`, within one bound for all of them.

    Beyond it raises HutchError `volume_state_invalid`: of a part nobody could say what is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left = _MOST_ENTRIES

    def files(self, *names: str) -> list[tuple[str, os.stat_result]]:
        """List (name, status) of the regular files in a folder; empty if it cannot be read."""
        return [found for found in self._entries(names) if stat.S_ISREG(found[1].st_mode)]

    def folders(self, *names: str) -> list[str]:
        """List the folders in a folder."""
        return [name for name, status in self._entries(names) if stat.S_ISDIR(status.st_mode)]

    def _entries(self, names: tuple[str, ...]) -> list[tuple[str, os.stat_result]]:
        found = []
        try:
            with folder_beneath(self._root, *names) as fd, os.scandir(fd) as entries:
                for entry in entries:
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
                    self._left -= 1
                    if self._left < 0:
                        raise HutchError(
                            "volume_state_invalid",
                            f"'{'/'.join(names)}' in the volume holds too many files",
                            "something in the sandbox put them there; move them out of that folder",
                        )
        except OSError:
            return []
        return found


def has_file(root: Path, *names: str) -> bool:
    """Whether `root/names...` is a regular file, reached without a link. Never raises."""
    *folders, name = names
    try:
        with folder_beneath(root, *folders) as fd:
            return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except (OSError, ValueError):
        return False


def read_end(folder: int, name: str, limit: int) -> bytes:
    """Read the last `limit` bytes of a regular file. Raises OSError, ValueError."""
    with file_beneath(folder, name) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
        return file.read(limit)


def link_to(folder: int, name: str, target: str) -> None:
    """Put a link in place of `name` in one step; a folder there is an error. Raises OSError."""
    with suppress(OSError):
        if os.readlink(name, dir_fd=folder) == target:
            return  # each turn's changes are for a person to read
    passing = f".{name}.{token_hex(8)}"
    os.symlink(target, passing, dir_fd=folder)
    try:
        os.replace(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(passing, dir_fd=folder)
        raise


def write_whole(folder: int, name: str, data: bytes) -> None:
    """Put `data` in place of `name` in one step; a link there is replaced, not followed. Raises OSError."""
    passing = f".{name}.{token_hex(8)}"
    fd = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(data)
        os.replace(passing, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(passing, dir_fd=folder)
        raise


def _make(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return


def invalid_state(name: str, error: OSError) -> HutchError:
    """Say that the volume's own state cannot be written where it belongs."""
    return HutchError(
        "volume_state_invalid",
        f"'{name}' in the volume cannot be written: {error.strerror}",
        f"something in the sandbox replaced it; remove it there: rm -rf /workspace/{name}",
    )
