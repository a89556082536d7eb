"""Makes a folder of a tar stream that may be an attacker's: nothing leaves the folder or follows a link."""

import errno
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from hutch.errors import HutchError
from hutch.volumes.folder.beneath import FOLDER_FLAGS, open_beneath
from hutch.volumes.folder.restored import set_xattrs
from hutch.volumes.folder.scan import MODE_BITS
from hutch.volumes.records import shown
from hutch.volumes.transfer.archive_writer import PIECE
from hutch.volumes.transfer.archive_xattrs import xattrs_in

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = bytes(PIECE)


class Source(Protocol):
    """What tarfile reads from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Unpacked:
    """What was made. `lost_xattrs`: files and folders whose attributes the disk cannot keep."""

    files: int = 0  # and links
    bytes: int = 0
    lost_xattrs: int = 0


Judge = Callable[[Unpacked], None]


def read_archive(
    source: Source, folder: Path, *, replace: bool = False, judge: Judge | None = None
) -> Unpacked:
    """Unpack into a folder that exists. For a thread.

    `replace`: files and links may stand there already, and give way. `judge` is shown how much it is with
    each file, before that is written; what it raises ends all.

    Raises:
        HutchError: `archive_invalid`: it is cut short, no tar, or holds what no volume can;
            `folder_failed`: the disk refuses.
    """
    root = os.open(folder, FOLDER_FLAGS)
    try:
        with (
            _told(),
            tarfile.open(
                mode="r|",
                fileobj=cast("IO[bytes]", source),
                bufsize=PIECE,
                encoding="utf-8",
                errors="surrogateescape",
            ) as archive,
        ):
            return _Reader(archive, root, judge, replace=replace).read_all()
    finally:
        os.close(root)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError) as error:  # the latter: a number, a time, a NUL
        raise HutchError("archive_invalid", f"the archive cannot be read: {str(error)[:200]}") from error
    except OSError as error:
        raise HutchError(
            "folder_failed", f"a folder cannot be written: {error.strerror}", "see that its disk has room"
        ) from error


class _Reader:
    def __init__(self, archive: tarfile.TarFile, root: int, judge: Judge | None, *, replace: bool) -> None:
        self._judge = judge
        self._archive = archive
        self._root = root
        self._replace = replace
        self._folders: list[tarfile.TarInfo] = []
        self._made = Unpacked()

    def read_all(self) -> Unpacked:
        while (member := self._archive.next()) is not None:
            self._archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            self._made.files += not member.isdir()
            self._made.bytes += member.size
            if self._judge is not None:
                self._judge(self._made)
            self._read(member)
        for member in reversed(self._folders):  # last, since what comes into a folder changes its time
            self._describe_folder(member)
        return self._made

    def _read(self, member: tarfile.TarInfo) -> None:
        path = _path(member.name)
        if not path and member.isdir():
            self._folders.append(member)  # the folder itself
            return
        above, _, name = path.rpartition(b"/")
        parent = open_beneath(self._root, above, FOLDER_FLAGS)
        try:
            if self._replace and not member.isdir():
                _give_way(parent, name)
            self._make(member, parent, name)
        finally:
            os.close(parent)

    def _make(self, member: tarfile.TarInfo, parent: int, name: bytes) -> None:
        if member.isdir():
            self._make_folder(member, parent, name)
        elif member.issym():
            os.symlink(os.fsencode(member.linkname), name, dir_fd=parent)
            os.utime(name, ns=_times(member), dir_fd=parent, follow_symlinks=False)
        elif member.islnk():
            above, _, first = _path(member.linkname).rpartition(b"/")
            source = open_beneath(self._root, above, FOLDER_FLAGS)
            try:
                os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
        elif member.isreg():
            self._make_file(member, parent, name)
        else:
            raise HutchError("archive_invalid", f"{_shown(member)} is no file, folder or link")

    def _make_folder(self, member: tarfile.TarInfo, parent: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            os.close(os.open(name, FOLDER_FLAGS, dir_fd=parent))  # OSError where it is none
        self._folders.append(member)

    def _make_file(self, member: tarfile.TarInfo, parent: int, name: bytes) -> None:
        buffered = self._archive.extractfile(member)
        assert isinstance(buffered, io.BufferedReader)
        content = buffered.raw  # the buffer asks whether a stream can go back, before it goes forward
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            parts = cast("list[tuple[int, int]] | None", member.sparse)  # of a file with holes
            for start, length in [(0, member.size)] if parts is None else parts:
                content.seek(start)
                if _copied(content, fd, start, length) != length:
                    raise tarfile.ReadError("unexpected end of data")
            os.ftruncate(fd, member.size)
            os.fchmod(fd, member.mode & MODE_BITS)
            self._set_xattrs(fd, member)
            os.utime(fd, ns=_times(member))
        finally:
            os.close(fd)

    def _describe_folder(self, member: tarfile.TarInfo) -> None:
        fd = open_beneath(self._root, _path(member.name), FOLDER_FLAGS)
        try:
            self._set_xattrs(fd, member)
            os.fchmod(fd, member.mode & MODE_BITS)
            os.utime(fd, ns=_times(member))
        finally:
            os.close(fd)

    def _set_xattrs(self, fd: int, member: tarfile.TarInfo) -> None:
        try:
            set_xattrs(fd, tuple(xattrs_in(member.pax_headers)))
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            self._made.lost_xattrs += 1


def _path(name: str) -> bytes:
    """A member's path, relative. Raises HutchError `archive_invalid` where it would climb."""
    path = os.fsencode(name).removeprefix(b"./").rstrip(b"/")
    if path in (b"", b"."):
        return b""
    if any(part in (b"", b".", b"..") or b"\0" in part for part in path.split(b"/")):
        raise HutchError("archive_invalid", f"{shown(path)[:200]!r} is no path in a volume")
    return path


def _shown(member: tarfile.TarInfo) -> str:
    return repr(shown(os.fsencode(member.name))[:200])


def _give_way(parent: int, name: bytes) -> None:
    """Remove a file or link; a folder stays, and the file is refused."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _copied(content: io.RawIOBase, fd: int, start: int, length: int) -> int:
    """Write a part of a file, with holes where there are only zeros; return how much of it there was."""
    done = 0
    while piece := content.read(min(PIECE, length - done)):
        if piece != _ZEROS[: len(piece)]:
            view = memoryview(piece)
            at = start + done
            while view:
                written = os.pwrite(fd, view, at)
                view, at = view[written:], at + written
        done += len(piece)
    return done


def _times(member: tarfile.TarInfo) -> tuple[int, int]:
    told = member.pax_headers.get("mtime", str(member.mtime))
    seconds, _, fraction = told.partition(".")
    time = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or "0")
    return time, time
