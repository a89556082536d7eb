"""Commits a working folder in which a run goes on writing: looks, reads what keeps still, puts an entry.

It costs what changed. Nothing in it is final: `Copies.commit` compares everything when the run has ended.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import FolderBusyError
from hutch.volumes.folder.beneath import FOLDER_FLAGS, TreeMovedError
from hutch.volumes.folder.copies import Copy
from hutch.volumes.folder.findings import Findings, LookWiderError, Pending
from hutch.volumes.folder.ingest import ingest
from hutch.volumes.folder.scan import put_back_modes, scan
from hutch.volumes.folder.settling import put_mark
from hutch.volumes.folder.spots import spots_of
from hutch.volumes.folder.still import Group, close, groups_of, split, take
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.quotas import Bound
from hutch.volumes.log.state import patch
from hutch.volumes.records import Snapshot, shown
from hutch.volumes.streaming.freezing import Freezer, held_still
from hutch.volumes.tree.known import Known
from hutch.volumes.tree.nodes import as_described, path_of

_WALKS = 3  # of a folder in which folders are being moved about
_PIECE_BYTES = 64 << 20  # of new content in one entry, so that what is small need not wait for what is large
_PIECE_FILES = 50_000
_COPIES = 128  # descriptors
_FOLDERS = 20_000  # that are told after a look, with paths of at most so many bytes: more cannot be watched
_FOLDER_PATH_BYTES = 1024
_UNFROZEN_S = 0.5  # for all databases that changed
_FROZEN_S = 0.1  # the same while the sandbox stands still; one group more may begin before it


@dataclass(frozen=True, slots=True)
class Piece:
    """What one commit came to. `snapshot` None: nothing had changed."""

    snapshot: Snapshot | None
    root: int  # inode of the working folder
    was_whole: bool  # everything was looked at
    wants_all: bool = False  # what changed has names elsewhere, or was too much: look at everything
    rest: tuple[bytes, ...] = ()  # paths that did not fit in
    restless: tuple[bytes, ...] = ()  # paths that did not keep still
    bytes_left: int = 0
    folders: tuple[tuple[bytes, int], ...] = ()  # that were listed, with their inodes

    @property
    def unsteady(self) -> tuple[str, ...]:
        return tuple(shown(path) for path in self.restless[:10])


class Running:
    """A working folder under a lease, and a run that may write in it."""

    def __init__(
        self, engine: Engine, bound: Bound, copy: Copy, run_id: str, freezer: Freezer | None
    ) -> None:
        self._store = engine.store
        self._bound = bound
        self._history = engine.history
        self._publisher = engine.publisher
        self._clock = engine.clock
        self._copy = copy
        self._run_id = run_id
        self._freezer = freezer
        self._known: Known | None = None
        self.is_ending = False  # the run has ended: a look at everything is not worth its time any more
        self._restless: set[bytes] = set()

    async def commit(self, paths: Sequence[bytes] | None) -> Piece:
        """Look at some paths, or at everything, and put what changed as one entry.

        Raises:
            LeaseLostError: nothing was put.
            StoreError: perhaps something was; ask again with the same paths.
            OSError: the folder cannot be read.
        """
        copy = self._copy
        copy.is_committed = False
        async with copy.turn:
            while True:
                copy.lease.assert_held()
                try:
                    return await self._commit(paths)
                except OwnEntryError:
                    copy.state = await self._history.newest(copy.state)
                    self._known, paths = None, None

    async def _commit(self, paths: Sequence[bytes] | None) -> Piece:
        root = os.open(self._copy.place.tree, FOLDER_FLAGS)
        try:
            findings = await self._looked(root, paths)
            try:
                return await self._put(root, findings, was_whole=paths is None)
            finally:
                put_back_modes(root, findings)
                close(findings.pending)
        except LookWiderError:
            return Piece(None, os.fstat(root).st_ino, was_whole=False, wants_all=True)
        finally:
            os.close(root)

    async def _looked(self, root: int, paths: Sequence[bytes] | None) -> Findings:
        spot = None if paths is None else await to_thread.run_sync(spots_of, paths)
        for _ in range(_WALKS):
            try:
                look = partial(scan, root, self._copy.state.tree, spot=spot, should_stop=self._should_stop)
                findings = await to_thread.run_sync(look)
            except TreeMovedError:
                continue
            return findings
        raise FolderBusyError("folders are being moved about in the working folder", "it is tried again")

    def _should_stop(self) -> bool:
        return self.is_ending

    async def _put(self, root: int, findings: Findings, *, was_whole: bool) -> Piece:
        copy, state = self._copy, self._copy.state
        piece = Piece(None, os.fstat(root).st_ino, was_whole, folders=tuple(_folders(findings)))
        if findings.tree is state.tree:
            return piece
        await self._bound.admit(state)
        moving = await self._take_still(root, findings)
        left = _set_aside(findings)
        if self._known is None:
            self._known = await to_thread.run_sync(Known, state)
        self._known.follow(state)  # others may have committed this folder
        began_s = self._clock.monotonic()
        made_of = await ingest(self._store, root, state, findings, self._known)
        restless = (*moving, *findings.unsteady)
        self._restless = set(restless)
        made = await to_thread.run_sync(patch, state, made_of.tree)
        snapshot = None
        if made.changes:
            commit = replace(
                self._publisher.commit_of(copy.lease, self._run_id, made_of.tree, began_s=began_s),
                packs=tuple(made_of.packs),
                inline=made_of.inline,
                next_inode=made_of.next_inode,
                left_out=tuple(findings.left_out),
                left_out_count=findings.left_out_count,
                while_running=True,
            )
            state, snapshot = await self._publisher.put(copy.lease, state, commit, made)
        # Times of folders alone are no entry; nor may a checkpoint tell them, then.
        tree = made_of.tree if made.changes else as_described(state.tree, made_of.tree)
        copy.state = replace(state, tree=tree)
        await to_thread.run_sync(self._note, self._known)
        return replace(
            piece,
            snapshot=snapshot,
            wants_all=len(left) > _PIECE_FILES,
            rest=tuple(each.path for each in left[:_PIECE_FILES]),
            restless=restless,
            bytes_left=sum(each.status.st_size for each in left),
        )

    def _note(self, known: Known) -> None:
        known.follow(self._copy.state)
        with suppress(OSError, HutchError):  # an older mark costs a look at the log after a crash
            put_mark(self._copy.lease, self._copy.place, self._copy.state, "leased")

    async def _take_still(self, root: int, findings: Findings) -> list[bytes]:
        """Read databases, and what did not keep still before, as of one instant; returns what moves on."""
        groups = groups_of(findings, self._restless if self._freezer else ())
        if not groups:
            return []
        findings.pending = list(split(findings.pending, groups))
        restless = [group for group in groups if len(group.names) == 1]  # only a frozen one will do
        databases = [group for group in groups if len(group.names) > 1]
        moving = await to_thread.run_sync(self._taken, root, findings, databases, _UNFROZEN_S)
        moving += restless
        if moving and self._freezer:
            async with held_still(self._freezer) as is_frozen:
                if is_frozen:
                    moving = await to_thread.run_sync(
                        lambda: self._taken(root, findings, moving, _FROZEN_S, is_frozen=True)
                    )
        for group in moving:
            group.keep_before()
        return [group.path for group in moving]

    def _taken(
        self, root: int, findings: Findings, groups: list[Group], within_s: float, *, is_frozen: bool = False
    ) -> list[Group]:
        """Take groups into what is pending; returns those that move."""
        until = time.monotonic() + within_s
        moving: list[Group] = []
        copies: list[Pending] = []
        for group in groups:
            taken = None
            if time.monotonic() < until and len(copies) < _COPIES:
                taken = take(root, group, self._copy.place.folder, is_frozen=is_frozen)
            if taken is None:
                moving.append(group)
            else:
                copies += taken
        findings.pending += copies
        return moving


def _folders(findings: Findings) -> Iterator[tuple[bytes, int]]:
    for trail, inode in findings.entered[:_FOLDERS]:
        length, at = 0, trail
        while at is not None and length <= _FOLDER_PATH_BYTES:
            length, at = length + len(at.name) + 1, at.above
        if length <= _FOLDER_PATH_BYTES:
            yield path_of(trail), inode


def _set_aside(findings: Findings) -> list[Pending]:
    """Leave for later what is too much for one entry."""
    pending = findings.pending
    if len(pending) <= _PIECE_FILES and sum(each.status.st_size for each in pending) <= _PIECE_BYTES:
        return []
    kept: list[Pending] = []
    left: list[Pending] = []
    total = 0
    for each in sorted(pending, key=_size_in_order):
        total += each.status.st_size
        has_room = total <= _PIECE_BYTES and len(kept) < _PIECE_FILES
        # The names of one file stay together, or a part of them would tell of another content.
        belongs = each.copy is not None or each.status.st_nlink > 1
        (kept if has_room or belongs or not kept else left).append(each)
    findings.pending = kept
    for each in left:
        each.keep_before(read_again=False)
    return left


def _size_in_order(pending: Pending) -> int:
    """What was copied comes first, then the small before the large."""
    return -1 if pending.copy is not None else pending.status.st_size
