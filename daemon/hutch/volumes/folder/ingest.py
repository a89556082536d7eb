"""Brings what a scan found pending into packs, and completes the tree."""

import math
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

import anyio
from anyio import to_thread

from hutch.volumes.folder.content import (
    Segment,
    SmallBatch,
    UnsteadyError,
    has_holes,
    open_large,
    read_batch,
    read_segment,
)
from hutch.volumes.folder.findings import Findings, Pending, kept
from hutch.volumes.log.codec import INLINE_AT
from hutch.volumes.log.history import entry_key
from hutch.volumes.log.state import State
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.threads import Job, first_error, in_order, in_thread
from hutch.volumes.tree.known import Known
from hutch.volumes.tree.nodes import File, Folder, Node
from hutch.volumes.tree.packs import SMALL_BYTES, SOLID_BYTES, Pack, Packed, PackWriter

_BATCH_FILES = 256
_UPLOADS = 2  # packs on their way at a time; each waits in memory
_MANY = 100
_RETRIED_BYTES = 16 << 20
_ROUNDS = 3  # over files that changed while they were read

Result = SmallBatch | Segment


@dataclass(slots=True)
class Ingested:
    """The completed tree and the packs that were put for it."""

    tree: Folder
    packs: list[Pack] = field(default_factory=list)
    inline: bytes = b""
    next_inode: int = 1


async def ingest(
    store: ObjectStore, root: int, state: State, findings: Findings, known: Known | None = None
) -> Ingested:
    """Read, pack and put, into the state's volume, the content of everything pending."""
    assert findings.tree is not None
    work = _Ingest(store, root, state, findings)
    if findings.pending:
        if known is None:
            known = await to_thread.run_sync(_known_for, state, findings.pending)
        await work.run(known)
    next_inode = _join_hard_links(findings, state.next_inode)
    return Ingested(findings.tree, work.packs, work.inline, next_inode)


def _known_for(state: State, pending: list[Pending]) -> Known:
    """Some small files in a tree of very many do not pay for looking at all of it."""
    is_worth_it = len(pending) * _MANY > state.files or any(
        each.status.st_size > SMALL_BYTES and each.before is None for each in pending
    )
    return Known(state, is_indexed=is_worth_it)


class _Ingest:
    def __init__(self, store: ObjectStore, root: int, state: State, findings: Findings) -> None:
        self.packs: list[Pack] = []
        self.inline = b""
        self._store = store
        self._root = root
        self._state = state
        self._findings = findings
        self._writer = PackWriter(state.next_pack)
        self._open: set[int] = set()  # descriptors of large files
        self._unsteady: list[Pending] = []
        self._uploads = anyio.CapacityLimiter(_UPLOADS)

    async def run(self, known: Known) -> None:
        self._known = known
        try:
            with first_error():
                async with anyio.create_task_group() as self._tasks:
                    await self._rounds()
                    _copy_to_other_names(self._findings.pending)
                    key = entry_key(self._state.number + 1)
                    sealed = self._writer.seal_inline(key, INLINE_AT)
                    if sealed:
                        self.packs.append(sealed[0])
                        self.inline = sealed[1]
                    elif not self._writer.is_empty:
                        await self._upload()
        finally:
            for fd in self._open:
                os.close(fd)

    async def _rounds(self) -> None:
        pending = deque(_first_names(self._findings.pending))
        if not self._findings.is_live:  # from here on each is let go of when it was read
            self._findings.pending = [each for each in self._findings.pending if each.status.st_nlink > 1]
        given_up: list[Pending] = []
        for _ in range(_ROUNDS):
            self._unsteady = []
            async with aclosing(self._jobs(pending)) as jobs:
                await in_order(jobs, self._take)
            # While a run works, others need not wait for a large file that is written all the time.
            most = _RETRIED_BYTES if self._findings.is_live else math.inf
            pending = deque(each for each in self._unsteady if each.status.st_size <= most)
            given_up += (each for each in self._unsteady if each.status.st_size > most)
            if not pending:
                break
        for each in (*given_up, *pending):
            # What was there before stays, and is read again next time.
            self._findings.leave_out(
                each.trail, "it could not be read, or changed all the time; its state before was kept"
            )
            each.keep_before(read_again=True)
            self._findings.unsteady.append(each.path)

    async def _jobs(self, pending: deque[Pending]) -> AsyncGenerator[Job[Result]]:
        batch: list[Pending] = []
        size = 0
        while pending:
            each = pending.popleft()
            if each.status.st_size > SMALL_BYTES or has_holes(each.status):
                async for job in self._large_jobs(each):
                    yield job
                continue
            if batch and (size + each.status.st_size > SOLID_BYTES or len(batch) >= _BATCH_FILES):
                yield in_thread(read_batch, self._root, batch, self._known, self._findings)
                batch, size = [], 0
            batch.append(each)
            size += each.status.st_size
        if batch:
            yield in_thread(read_batch, self._root, batch, self._known, self._findings)

    async def _large_jobs(self, pending: Pending) -> AsyncGenerator[Job[Result]]:
        try:
            file = await to_thread.run_sync(open_large, self._root, pending, self._known, self._findings)
        except UnsteadyError as error:
            self._unsteady.append(error.again(pending))
            return
        self._open.add(file.fd)
        for segment in file.segments():
            yield in_thread(read_segment, file, segment, self._known)

    async def _take(self, result: Result) -> None:
        if isinstance(result, SmallBatch):
            self._take_batch(result)
        else:
            self._take_segment(result)
        if self._writer.is_full:
            await self._upload()

    def _take_batch(self, batch: SmallBatch) -> None:
        at = self._writer.add(batch.block) if batch.block else (0, 0)
        for pending, node, offset in batch.files:
            if node is None:
                self._unsteady.append(pending)
            else:
                placed = node if offset is None else node._replace(at=(*at, offset))
                pending.children[pending.trail.name] = placed

    def _take_segment(self, segment: Segment) -> None:
        file = segment.file
        for block in segment.blocks:
            file.refs.append(self._writer.add(block) if isinstance(block, Packed) else block)
        if not segment.is_last:
            return
        if file.is_whole():
            trusted = self._findings.trusted(file.status)
            file.pending.children[file.pending.trail.name] = file.node(trusted)
        else:
            self._unsteady.append(file.pending._replace(status=kept(os.fstat(file.fd))))
        self._open.discard(file.fd)
        os.close(file.fd)

    async def _upload(self) -> None:
        pack, data = self._writer.seal()
        self.packs.append(pack)
        await self._uploads.acquire_on_behalf_of(pack)
        self._tasks.start_soon(self._put, pack, data)

    async def _put(self, pack: Pack, data: bytes) -> None:
        try:
            await self._store.put(self._state.identity.key(pack.key), data)  # invariant 9: no condition
        finally:
            self._uploads.release_on_behalf_of(pack)


def _first_names(pending: list[Pending]) -> Iterator[Pending]:
    """One name of each file: a hard link's content is read once."""
    seen: set[tuple[int, int]] = set()
    for each in pending:
        if each.status.st_nlink == 1 or _file_of(each) not in seen:
            seen.update((_file_of(each),) if each.status.st_nlink > 1 else ())
            yield each


def _file_of(pending: Pending) -> tuple[int, int]:
    """Tells files apart, though an inode's number may be used again while the folder is looked at."""
    return pending.status.st_ino, pending.status.st_ctime_ns


def _copy_to_other_names(pending: list[Pending]) -> None:
    """Give a hard link's other names what was read by the first."""
    read: dict[tuple[int, int], Pending] = {}
    for each in pending:
        if each.status.st_nlink == 1:
            continue
        first = read.setdefault(_file_of(each), each)
        node = first.children.get(first.trail.name)
        if node is not None:
            each.children[each.trail.name] = node
        elif first is not each:
            del each.children[each.trail.name]


def _join_hard_links(findings: Findings, next_inode: int) -> int:
    """Give files that share an inode one number, those that do not none; returns the next free one."""
    taken: set[int] = set()
    for members in findings.links.values():
        files: list[tuple[dict[bytes, Node], bytes, File]] = []
        for children, name in members:
            node = children.get(name)
            if isinstance(node, File):
                files.append((children, name, node))
        number = 0
        # What was read of them may differ, if somebody writes: then they are not one file in this tree.
        if len(files) > 1 and len({node._replace(inode=0, stat=None) for _, _, node in files}) == 1:
            numbers = {node.inode for _, _, node in files} - {0} - taken
            number = numbers.pop() if len(numbers) == 1 else next_inode
            next_inode = max(next_inode, number + 1)
            taken.add(number)
        for children, name, node in files:
            if node.inode != number:
                children[name] = node._replace(inode=number)
    return next_inode
