"""Working folders against the log: what a folder holds beyond it becomes a commit, or a conflict fork."""

import logging
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import anyio
from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import (
    FolderBusyError,
    LeaseHeldError,
    LeaseLostError,
    NotFoundError,
    QuotaExceededError,
)
from hutch.volumes.folder.beneath import FOLDER_FLAGS, TreeMovedError
from hutch.volumes.folder.findings import Findings
from hutch.volumes.folder.ingest import Ingested, ingest
from hutch.volumes.folder.scan import put_back_modes, scan
from hutch.volumes.folder.working import Place
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.history import fork_point, forked
from hutch.volumes.log.quotas import Bound
from hutch.volumes.log.state import Commit, Patch, State, patch
from hutch.volumes.names import VolumeName
from hutch.volumes.records import Snapshot
from hutch.volumes.stores.protocol import Condition, ObjectInfo, ObjectStore
from hutch.volumes.tree.known import Known
from hutch.volumes.tree.nodes import Folder, as_described, distrusted

_log = logging.getLogger(__name__)
_WALKS = 5  # of a folder in which folders are being moved about
_SCATTERED = 8  # entries that a restore may need to ask for
_CONFLICTS = 100  # forks of one volume in one second


@dataclass(slots=True)
class Copy:
    """A working folder under a lease. `state` is what it stands on; its tree has this folder's stats."""

    lease: Lease
    place: Place
    state: State
    noted: State | None = None  # what the index on disk tells
    is_committed: bool = False  # and nothing failed since
    stored_bytes: int = 0  # what the folder took of the disk when it was last compared
    trusted: State | None = None  # what a stream began on: only stats that its tree has were not taken live
    is_live: bool = False  # something may write into the folder: a stream is open
    told: State | None = None  # what the last commit that was not streamed told of
    turn: anyio.Lock = field(default_factory=anyio.Lock)  # one commit of this folder at a time

    @property
    def has_streamed(self) -> bool:
        return self.told is not None and self.told.number < self.state.number

    async def note(self) -> None:
        """Bring the index up to date; until then a crash costs a second look at what changed."""
        noted, now = self.noted, self.state
        if noted is None or noted.number != now.number or noted.tree is not now.tree:
            await to_thread.run_sync(self.place.write_index, now)
            self.noted = now


class Copies:
    """Compares working folders with the log and commits what differs."""

    def __init__(self, engine: Engine, bound: Bound) -> None:
        self._store = engine.store
        self._bound = bound
        self._history = engine.history
        self._leases = engine.leases
        self._publisher = engine.publisher
        self._forking = engine.forking
        self._clock = engine.clock

    async def commit(self, copy: Copy, run_id: str) -> Snapshot | None:
        """Put what changed as one entry, after everything was compared; None: nothing.

        After a stream, what was hashed while the sandbox lived is read again: a store to a page that is
        mapped and already dirty leaves no trace in a file's times. The snapshot tells all that changed since
        the last commit of this kind, also what was streamed.

        Raises:
            LeaseLostError, QuotaExceededError: the hint names the conflict fork that keeps the work.
        """
        copy.is_committed = False
        async with copy.turn:
            try:
                copy.lease.assert_held()
                if copy.trusted and not copy.is_live:
                    tree = distrusted(copy.trusted.tree, copy.state.tree)
                    copy.state = replace(copy.state, tree=tree)
                snapshot = await self._commit(copy, run_id)
            except LeaseLostError:
                name = await self.keep_as_conflict(copy.place, copy.state, run_id)
                raise LeaseLostError(
                    copy.lease.name, f"what this run changed is in volume '{name}'"
                ) from None
            except QuotaExceededError as error:
                raise error.kept_in(await self.keep_as_conflict(copy.place, copy.state, run_id)) from None
            if copy.is_live:  # one command of several in a kept sandbox has ended
                copy.told = copy.state
            else:
                copy.trusted = copy.told = None
            copy.is_committed = True
            return snapshot

    async def _commit(self, copy: Copy, run_id: str) -> Snapshot | None:
        while True:
            state, began_s = copy.state, self._clock.monotonic()
            findings, ingested = await self._compared(
                self._store, copy.place, state, _scattered(copy), is_bound=True
            )
            copy.stored_bytes = findings.stored_bytes
            made, is_due = await self._patched(copy, ingested)
            snapshot = None
            tree = ingested.tree if ingested else state.tree
            if is_due:
                commit = self._completed(
                    copy.lease, run_id, findings, ingested or Ingested(state.tree), began_s
                )
                try:
                    state, snapshot = await self._publisher.put(copy.lease, state, commit, made)
                except OwnEntryError:
                    copy.state = await self._history.newest(state)
                    continue
            # Else the log says nothing of it: then nobody may, or a checkpoint would tell another tree.
            copy.state = replace(state, tree=tree if is_due else as_described(state.tree, tree))
            return snapshot

    async def _patched(self, copy: Copy, ingested: Ingested | None) -> tuple[Patch, bool]:
        """The next entry's lines, and whether there is a reason to put it."""
        tree = ingested.tree if ingested else copy.state.tree
        made = await to_thread.run_sync(patch, copy.state, tree)
        if copy.told is None or not copy.has_streamed:
            # In doubt: an earlier attempt that arrives yet would bring back what was undone since.
            return made, made.changes > 0 or copy.lease.in_doubt
        # A run that streamed ends with an entry that says so, and that tells all that the run changed.
        whole = await to_thread.run_sync(patch, copy.told, tree)
        return replace(made, changes=whole.changes, changed=whole.changed), True

    def _completed(
        self, lease: Lease, run_id: str, findings: Findings, ingested: Ingested, began_s: float
    ) -> Commit:
        return replace(
            self._publisher.commit_of(lease, run_id, ingested.tree, began_s=began_s),
            packs=tuple(ingested.packs),
            inline=ingested.inline,
            next_inode=ingested.next_inode,
            left_out=tuple(findings.left_out),
            left_out_count=findings.left_out_count,
        )

    async def settled(self, place: Place, base: State) -> State | None:
        """`base` with this folder's stats if the folder equals it; None: it holds something else."""
        _, ingested = await self._compared(_Nowhere(self._store), place, base)
        if ingested is None:
            return base
        made = await to_thread.run_sync(patch, base, ingested.tree)
        return None if made.changes else replace(base, tree=ingested.tree)

    async def is_committed(self, place: Place, name: VolumeName) -> bool:
        """Whether the folder still holds what was noted as clean, and nothing else (invariant 12)."""
        mark = place.mark
        if mark is None or mark.phase != "clean":
            return False
        noted = await to_thread.run_sync(place.read_index, name)
        if noted is None or (noted.id, noted.number) != (mark.volume, mark.number):
            return False
        try:
            return await self.settled(place, noted) is not None
        except (HutchError, OSError):
            return False

    async def looked_at(self, place: Place, base: State) -> State:
        """What the folder holds now, as a state that can be compared with `base` and not be read."""
        _, ingested = await self._compared(_Nowhere(self._store), place, base)
        if ingested is None:
            return base
        packs = base.packs | {pack.number: pack for pack in ingested.packs}
        return replace(base, tree=ingested.tree, packs=packs)

    async def _compared(
        self,
        store: ObjectStore,
        place: Place,
        state: State,
        apart: frozenset[int] = frozenset(),
        *,
        is_bound: bool = False,
    ) -> tuple[Findings, Ingested | None]:
        """Compare the folder with the state; None: equal. New content is put into the state's volume."""
        root = await to_thread.run_sync(os.open, place.tree, FOLDER_FLAGS)
        try:
            findings = await _steady_scan(root, state.tree)
            try:
                if findings.tree is state.tree:
                    return findings, None
                if is_bound:
                    await self._bound.admit(state)
                known = await to_thread.run_sync(Known, state, apart) if apart else None
                return findings, await ingest(store, root, state, findings, known)
            finally:
                put_back_modes(root, findings)
        finally:
            os.close(root)

    async def keep_as_conflict(self, place: Place, base: State, run_id: str) -> VolumeName:
        """Put what the folder holds, which once stood on `base`, into a fork of its own, and let go of it."""
        for attempt in range(_CONFLICTS):
            name = base.name.conflict(self._clock.now(), attempt)
            try:
                state = await self._conflict(base, name)
                async with self._leases.held(name, f"rescue of {base.name}") as lease:
                    await self._fill_conflict(lease, place, state, run_id)
            except LeaseHeldError:
                continue
            except HutchError as error:
                if error.code != "volume_exists":
                    raise
            else:
                _log.warning("volume %s: work that it could not take is in %s", base.name, name)
                return name
        raise HutchError(
            "conflict_failed", f"no name is free for a conflict fork of '{base.name}'", "try again"
        )

    async def _conflict(self, base: State, name: VolumeName) -> State:
        """A new volume for the work: a fork, or one of its own where `base` is not kept any more."""
        try:
            return forked(base, await self._forking.begin(fork_point(base), name))
        except HutchError as error:
            if error.code != "snapshot_unknown":
                raise
            return State(*await self._forking.begin(None, name))

    async def _fill_conflict(self, lease: Lease, place: Place, state: State, run_id: str) -> None:
        began_s = self._clock.monotonic()
        findings, ingested = await self._compared(self._store, place, state)
        if ingested is None:
            ingested = Ingested(state.tree, next_inode=state.next_inode)
        commit = self._completed(lease, run_id, findings, ingested, began_s)
        made = await to_thread.run_sync(patch, state, commit.tree)
        await self._publisher.put(lease, state, commit, made)
        mark = place.mark
        if mark:
            # The work is safe: what lies here is worth nothing now. Unnoted, it is saved once more.
            try:
                place.put_mark(replace(mark, phase="restoring"))
            except HutchError as error:
                _log.warning("volume %s: %s", lease.name, error.message)


def _scattered(copy: Copy) -> frozenset[int]:
    """Packs in entries that were streamed. Where they are many, what is still needed of them is put anew.

    It is read again anyway; a restore then needs no request for each of these entries, nor the entries.
    """
    if copy.is_live or copy.trusted is None:
        return frozenset()
    since = copy.trusted.number
    inline = {number: pack.entry for number, pack in copy.state.packs.items()}
    found = frozenset(number for number, entry in inline.items() if entry is not None and entry > since)
    return found if len(found) > _SCATTERED else frozenset()


async def _steady_scan(root: int, known: Folder) -> Findings:
    for _ in range(_WALKS):
        try:
            return await to_thread.run_sync(scan, root, known)
        except TreeMovedError:
            continue
    raise FolderBusyError("folders are being moved about in the working folder", "stop what does it")


class _Nowhere:
    """Takes packs and keeps nothing: for a comparison that may end in nothing."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        return await self._store.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        return ""

    async def delete(self, key: str) -> None:
        raise NotFoundError(key)

    def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        return self._store.list(prefix)
