"""Makes a folder equal to a tree, whose names were all checked when it was read (invariant 13).

Nothing is synced: a folder is relied on within one boot of its machine only (invariant 17).
"""

import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

from anyio import CapacityLimiter, to_thread

from hutch.volumes.failures import DamagedError, refused
from hutch.volumes.folder.beneath import Descent, grant, remove_tree
from hutch.volumes.folder.borrowing import Lender, Piece, open_lender
from hutch.volumes.folder.findings import RACY_NS, stat_of
from hutch.volumes.folder.restored import (
    Folders,
    Wanted,
    copied,
    describe_folders,
    link_all,
    make_link,
    set_xattrs,
    umask,
)
from hutch.volumes.log.state import State
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.threads import Job, in_order, in_thread
from hutch.volumes.tree.blocks import Ref, Span, block_of, fetched, layout, spans, unpacked
from hutch.volumes.tree.nodes import File, Folder, Link, Trail, path_of, walk
from hutch.volumes.tree.patches import Difference, difference

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BORROWED_BLOCKS = 8  # taken from a folder by one job
_EMPTY_FILES = 1000  # written by one job


async def restore(
    store: ObjectStore, root: int, old: Folder | None, state: State, lenders: Sequence[Path] = ()
) -> Folder:
    """Turn the folder `root`, which holds `old`, into the state's tree; return that tree with stats.

    What one of the folders `lenders` has is taken from there. A failure leaves something in between: the
    caller throws the folder away.

    Raises:
        HutchError: `volume_damaged`, `store_unavailable`; `disk_full`, `folder_failed`: the disk refuses.
    """
    work = _Restore(store, root, state, old)
    with _folder_failures(root, state.bytes):
        await to_thread.run_sync(work.prepare)
        lender = await to_thread.run_sync(open_lender, lenders, work.pieces())
        if lender is not None:
            try:
                await _do(work.borrowings(lender))
            finally:
                os.close(lender)
        await _do(work.jobs())
        return await to_thread.run_sync(work.finish)


def _whole(wanted: Wanted) -> Piece:
    """A small file."""
    node = wanted.node
    return Piece(wanted.above, wanted.name, 0, node.size, node.hash or "")


async def _do(work: AsyncGenerator[Job[None]]) -> None:
    async with aclosing(work) as jobs:
        await in_order(jobs, _taken)


async def _taken(_: None) -> None:
    """The jobs of a restore have no results."""


@contextmanager
def _folder_failures(root: int, wanted: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refused(Path(f"/proc/self/fd/{root}").readlink(), wanted, error) from error


def _write_all(fd: int, content: bytes | memoryview, position: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, position)
        view, position = view[written:], position + written


class _Restore:
    def __init__(self, store: ObjectStore, root: int, state: State, old: Folder | None) -> None:
        self._store = store
        self._root = root
        self._state = state
        self._old = old
        self._small: dict[Ref, list[Wanted]] = {}  # what needs a block
        self._parts: dict[Ref, list[tuple[Wanted, int]]] = {}  # the same of large files: where in the file
        self._empty: list[Wanted] = []
        self._large: list[Wanted] = []
        self._linked: list[tuple[Trail, Wanted]] = []
        self._needs_chmod = 0  # mode bits that a new file does not get by itself

    def prepare(self) -> None:
        """Remove what goes, make folders and links, and plan the files."""
        self._tree = copied(self._state.tree, self._old)
        self._needs_chmod = umask() | 0o1000
        first_names = self._unchanged_hard_links()
        for folder, step in self._descend():
            name, node = step.name, folder.children.get(step.name)
            if isinstance(node, Folder):
                continue
            if isinstance(node, Link):
                make_link(self._descent.fd, name, node)
            elif isinstance(node, File):
                assert step.trail is not None
                wanted = Wanted(folder.children, step.trail.above, name)
                source = first_names.setdefault(node.inode, step.trail) if node.inode else step.trail
                if source is step.trail:
                    self._plan(wanted, node)
                else:
                    self._linked.append((source, wanted))

    def _descend(self) -> Iterator[tuple[Folder, Difference]]:
        """Each step of the difference and its folder: the descent is in it, and the name is free."""
        folders = [self._tree]
        with Descent(self._root) as self._descent:
            for step in difference(self._old, self._tree):
                if step.depth == 0:
                    continue
                while len(folders) > step.depth:
                    folders.pop()
                    self._descent.up()
                node = folders[-1].children.get(step.name)
                stays = step.old if isinstance(step.old, Folder) and isinstance(node, Folder) else None
                if self._old is not None and not stays:  # also what a volume does not keep may stand there
                    remove_tree(self._descent.fd, step.name)
                yield folders[-1], step
                if isinstance(node, Folder):
                    if not stays:
                        os.mkdir(step.name, 0o700, dir_fd=self._descent.fd)
                    elif stays.mode & 0o700 != 0o700:
                        grant(self._descent.fd, step.name, 0o700)  # what it shall be is set at the end
                    self._descent.down(step.name)
                    folders.append(node)

    def _unchanged_hard_links(self) -> dict[int, Trail]:
        """For each hard link's number a name that is there already and stays."""
        if self._old is None or self._old is self._tree:
            return {}
        changed = {
            path_of(step.trail) for step in difference(self._old, self._tree) if isinstance(step.new, File)
        }
        found: dict[int, Trail] = {}
        for _, trail, node in walk(self._tree):
            if isinstance(node, File) and node.inode and trail and path_of(trail) not in changed:
                found.setdefault(node.inode, trail)
        return found

    def _plan(self, wanted: Wanted, node: File) -> None:
        if node.at is not None:
            self._small.setdefault(node.at[:2], []).append(wanted)
        elif node.chunker is not None:
            self._large.append(wanted)
            for ref, position, _ in layout(self._state, node):
                self._parts.setdefault(ref, []).append((wanted, position))
            fd = os.open(wanted.name, _CREATE, 0o600, dir_fd=self._descent.fd)
            try:
                os.ftruncate(fd, node.size)
            finally:
                os.close(fd)
        else:
            self._empty.append(wanted)

    def pieces(self) -> list[Piece]:
        """A sample of what is wanted: one of each block."""
        small = [_whole(uses[0]) for uses in self._small.values()]
        return small + [self._part(ref, *uses[0]) for ref, uses in self._parts.items()]

    def _part(self, ref: Ref, wanted: Wanted, position: int) -> Piece:
        block = block_of(self._state, ref)[1]
        return Piece(wanted.above, wanted.name, position, block.length, block.hash)

    async def borrowings(self, lender: int) -> AsyncGenerator[Job[None]]:
        """Take from a folder of this host what it has; the rest stays to be done."""
        refs = [*self._small, *(self._parts.keys() - self._small.keys())]
        for start in range(0, len(refs), _BORROWED_BLOCKS):
            yield in_thread(self._borrow, lender, refs[start : start + _BORROWED_BLOCKS])

    def _borrow(self, lender: int, refs: list[Ref]) -> None:
        with Folders(self._root) as folders, Lender(lender) as lending:
            for ref in refs:
                small = []
                for wanted in self._small.pop(ref, ()):
                    content = lending.content(_whole(wanted))
                    if content is None:
                        small.append(wanted)
                    else:
                        self._write(folders, wanted, wanted.node, content)
                parts = []
                for wanted, position in self._parts.pop(ref, ()):
                    content = lending.content(self._part(ref, wanted, position))
                    if content is None:
                        parts.append((wanted, position))
                    else:
                        self._write_part(folders, wanted, content, position)
                self._small.update({ref: small} if small else {})
                self._parts.update({ref: parts} if parts else {})

    async def jobs(self) -> AsyncGenerator[Job[None]]:
        """One for each request to the store: it writes all files that need its blocks."""
        for start in range(0, len(self._empty), _EMPTY_FILES):
            yield in_thread(self._write_empty, self._empty[start : start + _EMPTY_FILES])
        for span in spans(self._state, self._small.keys() | self._parts.keys()):
            yield partial(self._restore_span, span)

    async def _restore_span(self, span: Span, limiter: CapacityLimiter) -> None:
        data = await fetched(self._store, span)
        await to_thread.run_sync(self._write_span, span, data, limiter=limiter)

    def _write_empty(self, files: list[Wanted]) -> None:
        with Folders(self._root) as folders:
            for wanted in files:
                self._write(folders, wanted, wanted.node, b"")

    def _write_span(self, span: Span, data: bytes) -> None:
        with Folders(self._root) as folders:
            for ref, content in unpacked(span, data):
                view = memoryview(content)
                for wanted in self._small.pop(ref, ()):  # let go of what is done: there may be a million
                    node = wanted.node
                    offset = node.at[2] if node.at else 0
                    self._write(folders, wanted, node, view[offset : offset + node.size])
                for wanted, position in self._parts.pop(ref, ()):
                    self._write_part(folders, wanted, content, position)

    def _write(self, folders: Folders, wanted: Wanted, node: File, content: bytes | memoryview) -> None:
        """A small file with as few calls as can be: there are thousands."""
        fd = os.open(wanted.name, _CREATE, node.mode, dir_fd=folders.of(wanted.above))
        try:
            if len(content) != node.size:
                raise DamagedError(f"volume '{self._state.name}'", "a file reaches beyond its block")
            _write_all(fd, content, 0)
            if node.mode & self._needs_chmod:
                os.fchmod(fd, node.mode)
            self._describe(fd, wanted, node)
        finally:
            os.close(fd)

    def _write_part(self, folders: Folders, wanted: Wanted, content: bytes, position: int) -> None:
        fd = os.open(wanted.name, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=folders.of(wanted.above))
        try:
            _write_all(fd, content, position)
        finally:
            os.close(fd)

    def _describe(self, fd: int, wanted: Wanted, node: File) -> None:
        """Attributes and time, in this order, and note what the file then shows of itself."""
        if node.xattrs:
            set_xattrs(fd, node.xattrs)
        os.utime(fd, ns=(node.mtime, node.mtime))
        wanted.children[wanted.name] = node._replace(stat=stat_of(os.fstat(fd)))

    def finish(self) -> Folder:
        """Large files' descriptions, hard links, then folders from the inside out; last the disk."""
        with Folders(self._root) as folders:
            for wanted in self._large:
                node = wanted.node
                fd = os.open(wanted.name, os.O_WRONLY | os.O_NOFOLLOW, dir_fd=folders.of(wanted.above))
                try:
                    os.fchmod(fd, node.mode)
                    self._describe(fd, wanted, node)
                finally:
                    os.close(fd)
        link_all(self._root, self._tree, self._linked)
        tree = describe_folders(self._root, self._tree, self._old)
        if not self._state.tree.children:
            return tree._replace(stat=None)  # not worth the wait
        time.sleep(RACY_NS / 1e9)  # from now on no change can have the time that was noted
        return tree
