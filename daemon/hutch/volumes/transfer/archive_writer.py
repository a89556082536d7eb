"""A folder as a tar stream (PAX): modes, nanoseconds, links, hard links, holes, `user.*`, any name."""

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from hutch.volumes.folder.beneath import FILE_FLAGS, FOLDER_FLAGS, Descent
from hutch.volumes.folder.content import data_of
from hutch.volumes.folder.scan import MODE_BITS
from hutch.volumes.records import shown
from hutch.volumes.transfer.archive_holes import Parts, with_holes
from hutch.volumes.transfer.archive_xattrs import xattr_record

PIECE = 256 << 10  # bytes handed on at once
_KINDS = {stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
Take = Callable[[bytes], object]


def write_folder(folder: Path, take: Take) -> list[str]:
    """Hand on the folder's content as a tar stream; return what a volume does not keep. For a thread.

    Raises:
        OSError: something in there cannot be read, or shrank meanwhile.
    """
    root = os.open(folder, FOLDER_FLAGS)
    try:
        with _archive(take) as archive, Descent(root) as descent:
            writer = _Writer(archive, descent)
            writer.add_all()
            return writer.left_out
    finally:
        os.close(root)


def write_file(file: Path, name: str, take: Take, more_mode: int = 0) -> None:
    """The same of a single file, with more mode bits than it has. What `file` links to is meant."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        with _archive(take) as archive:
            member = _member(os.fsencode(name), status, tarfile.REGTYPE)
            member.mode |= more_mode
            _add_file(archive, member, fd, status)
    finally:
        os.close(fd)


def _archive(take: Take) -> tarfile.TarFile:
    return tarfile.open(
        mode="w|",
        fileobj=cast("IO[bytes]", _Sink(take)),
        bufsize=PIECE,
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    )


class _Sink:
    """What tarfile writes to."""

    def __init__(self, take: Take) -> None:
        self._take = take

    def write(self, data: bytes) -> int:
        self._take(bytes(data))
        return len(data)


class _Writer:
    """Walks by descriptors, so that neither a link nor any depth leads it astray."""

    def __init__(self, archive: tarfile.TarFile, descent: Descent) -> None:
        self.left_out: list[str] = []
        self._archive = archive
        self._descent = descent
        self._names: dict[tuple[int, int], bytes] = {}  # of hard links, the first one

    def add_all(self) -> None:
        top = self._descent.fd
        self._archive.addfile(self._described(b"./", os.fstat(top), tarfile.DIRTYPE, top))
        stack = [(b"", self._list(b""))]
        while stack:
            path, folders = stack[-1]
            for name, status in folders:
                below = path + name + b"/"
                self._descent.down(name, status)
                self._archive.addfile(self._described(below, status, tarfile.DIRTYPE, self._descent.fd))
                stack.append((below, self._list(below)))
                break
            else:
                stack.pop()
                if stack:
                    self._descent.up()

    def _list(self, path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """Add the files and links of the folder that the descent is in; return its folders."""
        with os.scandir(self._descent.fd) as entries:
            found = [(os.fsencode(entry.name), entry.stat(follow_symlinks=False)) for entry in entries]
        folders = []
        for name, status in sorted(found):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode))
            if kind == tarfile.DIRTYPE:
                folders.append((name, status))
            elif kind is None:
                self.left_out.append(shown(path + name))
            else:
                self._add(path, name, status, kind)
        return iter(folders)

    def _add(self, path: bytes, name: bytes, status: os.stat_result, kind: bytes) -> None:
        if kind == tarfile.SYMTYPE:
            member = _member(path + name, status, kind)
            member.linkname = os.readlink(os.fsdecode(name), dir_fd=self._descent.fd)
            self._archive.addfile(member)
            return
        first = self._names.setdefault((status.st_dev, status.st_ino), path + name)
        if status.st_nlink > 1 and first != path + name:
            member = _member(path + name, status, tarfile.LNKTYPE)
            member.linkname = os.fsdecode(first)
            self._archive.addfile(member)
            return
        fd = os.open(name, FILE_FLAGS, dir_fd=self._descent.fd)
        try:
            now = os.fstat(fd)
            if stat.S_ISREG(now.st_mode):
                _add_file(self._archive, self._described(path + name, now, kind, fd), fd, now)
        finally:
            os.close(fd)

    def _described(self, path: bytes, status: os.stat_result, kind: bytes, fd: int) -> tarfile.TarInfo:
        member = _member(path, status, kind)
        try:
            names = [name for name in os.listxattr(fd) if name.startswith("user.")]
        except OSError:  # the file system has none
            return member
        xattrs = dict(xattr_record(name, os.getxattr(fd, name)) for name in names)
        member.pax_headers = {**member.pax_headers, **xattrs}
        return member


def _member(path: bytes, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(os.fsdecode(path))
    member.type = kind
    member.mode = status.st_mode & MODE_BITS
    member.size = status.st_size if kind == tarfile.REGTYPE else 0
    seconds, nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)
    member.pax_headers = {"mtime": f"{seconds}.{nanoseconds:09}"}
    return member


def _add_file(archive: tarfile.TarFile, member: tarfile.TarInfo, fd: int, status: os.stat_result) -> None:
    extents = data_of(fd, status)
    if extents is None:
        with open(fd, "rb", closefd=False) as content:
            archive.addfile(member, content)
        return
    table = with_holes(member, extents)
    # tarfile reads as much as it asked for, or takes it for the end
    archive.addfile(member, io.BufferedReader(Parts(table, fd, extents), PIECE))
