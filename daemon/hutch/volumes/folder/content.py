"""Reads files of a working folder and packs their content. For threads: whole batches, few calls."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3

from hutch.volumes.folder.beneath import FOLDER_FLAGS, TreeMovedError, grant, open_beneath
from hutch.volumes.folder.findings import Findings, Pending, Status, kept, read_xattrs, stat_of
from hutch.volumes.tree.blocks import Ref
from hutch.volumes.tree.known import Known
from hutch.volumes.tree.nodes import File, Stat, Xattrs, runs_of
from hutch.volumes.tree.packs import BLOCK_LIMIT, CHUNKERS, SMALL_BYTES, Packed, pack_block

_TRIES = 3  # to read a file while nobody writes it
_HUGE_BYTES = 64 << 20  # a file first met with more is cut into larger blocks
_SEGMENT_BYTES = 4 << 20  # of a large file, read and packed as one job
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}  # gone; a link; a socket
_PAGE = 4096  # a smaller file has no hole worth keeping


class UnsteadyError(Exception):
    """The file changed while it was read, is none any more, or cannot be read. `status`: what it is now."""

    def __init__(self, status: Status | None = None) -> None:
        super().__init__()
        self.status = status

    def again(self, pending: Pending) -> Pending:
        """What to try next time."""
        return pending._replace(status=self.status) if self.status else pending


class SmallFile(NamedTuple):
    """A file as read. `offset` is where it lies in its batch's block; None where `node` says it all."""

    pending: Pending
    node: File | None  # None: unsteady
    offset: int | None


class SmallBatch(NamedTuple):
    """Many small files, and the block of what is new of them."""

    block: Packed | None
    files: list[SmallFile]


def read_batch(root: int, batch: list[Pending], known: Known, findings: Findings) -> SmallBatch:
    """Read small files into one solid block."""
    parts: list[bytes] = []
    files: list[SmallFile] = []
    end = 0
    for pending in batch:
        try:
            content, xattrs, status = _read_small(root, pending, findings)
            if end + len(content) > BLOCK_LIMIT:  # files have grown since they were put together
                raise UnsteadyError(status)
        except UnsteadyError as error:
            files.append(SmallFile(error.again(pending), None, None))
            continue
        node = described(pending, status, findings.trusted(status), xattrs)
        if not content:
            files.append(SmallFile(pending, node, None))
            continue
        name = blake3(content).hexdigest()
        at = known.small(name, pending.before)
        files.append(SmallFile(pending, node._replace(hash=name, at=at), None if at else end))
        if not at:
            parts.append(content)
            end += len(content)
    return SmallBatch(pack_block(b"".join(parts)) if parts else None, files)


def described(pending: Pending, status: Status, trusted: Stat | None, xattrs: Xattrs) -> File:
    """A file's node, as yet without content."""
    # A name of its own again: without this two files that parted would be one file after a restore.
    inode = pending.before.inode if pending.before and status.st_nlink > 1 else 0
    return File(pending.mode, status.st_mtime_ns, status.st_size, inode=inode, xattrs=xattrs, stat=trusted)


def _read_small(root: int, pending: Pending, findings: Findings) -> tuple[bytes, Xattrs, Status]:
    fd = open_pending(root, pending, may_grant=not findings.is_live)
    try:
        status = status_of(fd, pending)
        for _ in range(_TRIES):
            if not stat.S_ISREG(status.st_mode) or status.st_size > SMALL_BYTES:
                break
            content = os.pread(fd, status.st_size + 1, 0)
            xattrs = read_xattrs(fd, pending.trail, findings)
            after = status_of(fd, pending)
            if len(content) == after.st_size and stat_of(status) == stat_of(after):
                return content, xattrs, after
            if findings.is_live and only_grew(status, after) and len(content) >= status.st_size:
                return content[: status.st_size], xattrs, status
            status = after
    finally:
        os.close(fd)
    raise UnsteadyError(status if stat.S_ISREG(status.st_mode) else None)


def status_of(fd: int, pending: Pending) -> Status:
    """What the file is that is being read, or was when its copy was taken."""
    return kept(os.fstat(fd)) if pending.copy is None else pending.status


def only_grew(before: Status, after: Status) -> bool:
    """Whether all that is seen of a change is that something was added at the end."""
    return before.st_ino == after.st_ino and before.st_size < after.st_size


def open_pending(root: int, pending: Pending, *, may_grant: bool) -> int:
    """Raises UnsteadyError where no file stands there that can be read."""
    if pending.copy is not None:
        return os.dup(pending.copy)
    path = pending.path
    try:
        try:
            return open_beneath(root, path)
        except PermissionError:
            if not may_grant:
                raise
            # Its owner may have taken its own rights away.
            folder = open_beneath(root, path.rpartition(b"/")[0], FOLDER_FLAGS)
            try:
                grant(folder, pending.trail.name, pending.mode | 0o600)
            finally:
                os.close(folder)
            fd = open_beneath(root, path)
            os.fchmod(fd, pending.mode)  # what is open can be read all the same
            return fd
    except (TreeMovedError, PermissionError):
        raise UnsteadyError from None
    except OSError as error:
        if error.errno in _NO_FILE:
            raise UnsteadyError from None
        raise


# Large files ---------------------------------------------------------


@dataclass(slots=True)
class LargeFile:
    """A large file while it is read. The caller closes `fd`."""

    pending: Pending
    fd: int
    status: Status
    xattrs: Xattrs
    chunker: str
    data: tuple[tuple[int, int], ...] | None
    before: dict[int, Ref]  # where it had its blocks, by their place in it
    refs: list[Ref] = field(default_factory=list)
    is_short: bool = False  # it ended early
    is_live: bool = False  # of one that only grew meanwhile, what it held at first is taken

    def segments(self) -> Iterator[list[tuple[int, int]]]:
        """Its blocks (offset, length), some MiB at a time, and at last an empty segment."""
        step = CHUNKERS[self.chunker]
        segment: list[tuple[int, int]] = []
        for start, length in ((0, self.status.st_size),) if self.data is None else self.data:
            position, end = start, start + length
            while position < end:
                until = min(end, (position // step + 1) * step)
                segment.append((position, until - position))
                position = until
                if len(segment) * step >= _SEGMENT_BYTES:
                    yield segment
                    segment = []
        if segment:
            yield segment
        yield []

    def is_whole(self) -> bool:
        """Whether what was read is a state that it had."""
        now = status_of(self.fd, self.pending)
        return not self.is_short and (
            stat_of(now) == stat_of(self.status)
            or (self.is_live and self.data is None and only_grew(self.status, now))
        )

    def node(self, trusted: Stat | None) -> File:
        """Its description, once all references are there."""
        node = described(self.pending, self.status, trusted, self.xattrs)
        return node._replace(blocks=runs_of(self.refs), chunker=self.chunker, data=self.data)


def open_large(root: int, pending: Pending, known: Known, findings: Findings) -> LargeFile:
    """Raises UnsteadyError, OSError."""
    fd = open_pending(root, pending, may_grant=not findings.is_live)
    try:
        status = status_of(fd, pending)
        if not stat.S_ISREG(status.st_mode):
            raise UnsteadyError
        chunker = "fixed-1m" if status.st_size > _HUGE_BYTES else "fixed-256k"
        if pending.before and pending.before.chunker in CHUNKERS:
            chunker = pending.before.chunker
        xattrs = read_xattrs(fd, pending.trail, findings)
        before = known.blocks_of(pending.before)
        data = data_of(fd, status)
        return LargeFile(pending, fd, status, xattrs, chunker, data, before, is_live=findings.is_live)
    except BaseException:
        os.close(fd)
        raise


def has_holes(status: Status | os.stat_result) -> bool:
    """Whether it looks as if less is stored than its size says."""
    return status.st_size > _PAGE and status.st_blocks * 512 < status.st_size


def data_of(fd: int, status: Status | os.stat_result) -> tuple[tuple[int, int], ...] | None:
    """Offset and length of what is no hole; None: there are no holes."""
    if not has_holes(status):
        return None
    extents: list[tuple[int, int]] = []
    position = 0
    while position < status.st_size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError:  # ENXIO: only a hole follows, or it was cut off just now
            break
        if start >= status.st_size:  # it has grown since
            break
        position = min(end, status.st_size)
        extents.append((start, position - start))
    return None if extents == [(0, status.st_size)] else tuple(extents)


class Segment(NamedTuple):
    """Part of a large file as read: for each block its hash, and its bytes unless they are known."""

    file: LargeFile
    blocks: list[Packed | Ref]
    is_last: bool


def read_segment(file: LargeFile, blocks: list[tuple[int, int]], known: Known) -> Segment:
    """Read, hash and pack some blocks; none: it was the last segment."""
    packed: list[Packed | Ref] = []
    if file.is_live and not file.is_whole():  # whoever writes it would keep us reading
        file.is_short = True
    for offset, length in () if file.is_short else blocks:
        content = os.pread(file.fd, length, offset)
        if len(content) != length:
            file.is_short = True
            break
        name = blake3(content).hexdigest()
        packed.append(known.block(name, file.before.get(offset)) or pack_block(content, name))
    return Segment(file, packed, is_last=not blocks)
