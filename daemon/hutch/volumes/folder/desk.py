"""Hands out folders: a working folder to the one writer, snapshots to any number of readers."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import anyio
from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import DiskFullError, FolderBusyError
from hutch.volumes.folder.beneath import FOLDER_FLAGS
from hutch.volumes.folder.cache import Cache, Room, room_for
from hutch.volumes.folder.copies import Copies, Copy
from hutch.volumes.folder.findings import stat_of
from hutch.volumes.folder.restore import restore
from hutch.volumes.folder.scan import put_back_modes, scan
from hutch.volumes.folder.settling import Settled, Settling, put_clean, put_mark
from hutch.volumes.folder.working import Mark, Place, places
from hutch.volumes.lease.holders import this_process
from hutch.volumes.lease.leases import Lease
from hutch.volumes.log.state import Hints, State
from hutch.volumes.names import VolumeName
from hutch.volumes.records import Recovered
from hutch.volumes.tree.nodes import Folder
from hutch.volumes.tree.patches import differs

_TRIES = 3  # to find a snapshot's folder as it was made
_MARK_ROOM = Room(1 << 16, 4)
_PUT_DOWN_S = 10.0  # to note that a folder is clean; not noting it costs a comparison later


class Desk:
    """The folders of this host."""

    def __init__(self, engine: Engine, copies: Copies, cache: Cache) -> None:
        self._store = engine.store
        self._settling = Settling(engine, copies)
        self._copies = copies
        self._cache = cache
        self._out: dict[Lease, tuple[Copy, AsyncExitStack]] = {}

    def place(self, name: VolumeName) -> Place:
        return Place(self._cache.folder / name.workspace / name.name)

    def copy(self, lease: Lease) -> Copy | None:
        """The folder that was handed out under a lease."""
        return self._out[lease][0] if lease in self._out else None

    async def compared(self, beginning: State, hints: Hints) -> tuple[State, State]:
        """What this host's working folder stands on, and what it holds now, also while a run works.

        Raises:
            HutchError: `not_checked_out`, `folder_busy`.
        """
        for lease, (copy, _) in self._out.items():
            if lease.name == beginning.name:
                async with copy.turn:
                    return copy.state, await self._copies.looked_at(copy.place, copy.state)
        place = self.place(beginning.name)
        if not place.tree.exists():
            raise HutchError(
                "not_checked_out",
                f"volume '{beginning.name}' has no working folder here: there is nothing to compare",
                "compare two snapshots",
            )
        async with place.locked(wait_s=0):
            base = await self._settling.base(beginning, hints, place)
            return base, await self._copies.looked_at(place, base)

    async def check_out(self, lease: Lease) -> Copy:
        """A folder equal to the newest snapshot, locked until it is put down."""
        place = self.place(lease.name)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(place.locked())
            settled = await self._settling.settle(lease, place)
            copy = settled.copy or Copy(lease, place, settled.head)
            await self._bring_up_to_date(copy, settled)
            copy.is_committed = False
            await self._mark(copy, copy.state, "leased")
            self._out[lease] = (copy, stack.pop_all())
        return copy

    async def put_down(self, lease: Lease, *, is_whole: bool) -> None:
        """Unlock the folder, noted as clean after a commit unless its run broke off (not `is_whole`)."""
        out = self._out.pop(lease, None)
        if out is None:
            return
        copy, stack = out
        with anyio.move_on_after(_PUT_DOWN_S, shield=True):
            async with stack:
                if is_whole and copy.is_committed and not lease.lost.is_set() and await put_clean(copy):
                    self._settling.keep_warm(lease.name, copy.place, copy.state)
        self._cache.note_growth()

    async def settle_leftover(self, lease: Lease) -> None:
        """Save what a dead run left in the folder, before anyone else writes the volume."""
        place = self.place(lease.name)
        mark = place.mark
        if mark is None or mark.phase != "leased":
            return
        try:
            async with place.locked(wait_s=0):
                await self._settling.settle_leftover(lease, place)
        except FolderBusyError:
            return  # its run lives, and learns by itself that it lost its lease

    async def recover(self) -> tuple[Recovered, ...]:
        """Save what dead runs left in any folder."""
        found = [
            await self._settling.recover(name, place)
            for name, place in places(self._cache.folder)
            if place.mark
        ]
        return tuple(each for each in found if each)

    @asynccontextmanager
    async def snapshot(self, state: State) -> AsyncGenerator[Path]:
        """A folder equal to a state, which readers share. It stays as long as one of them uses it."""
        shelf = self.place(state.name).folder / "snapshots"
        place = Place(shelf / f"{state.number:020}")
        made: State | None = None
        for _ in range(_TRIES):
            async with place.locked(shared=True):
                if await self._is_whole(place, state, made):
                    made = None
                    await self._cache.evict_snapshots(shelf, place.folder.name)
                    yield place.tree
                    place.note_used()
                    self._cache.note_growth()
                    return
            async with place.locked():
                if not await self._is_whole(place, state):
                    made = await self._materialise(place, state)
        raise FolderBusyError("its readers keep changing the snapshot's folder", "mount it read-only")

    async def noted(self, name: VolumeName, number: int | None) -> tuple[State, ...]:
        """What this host's folders were noted as: those of a snapshot; None: of the newest there are."""
        own = self.place(name)
        shelf = own.folder / "snapshots"
        folders = sorted(shelf.glob("*"))[-1:] if number is None else [shelf / f"{number:020}"]
        wanted = [
            place
            for place in (Place(folder) for folder in (*folders, own.folder))
            if (mark := place.mark) and mark.phase == "clean" and number in (None, mark.number)
        ]
        found = [await to_thread.run_sync(place.read_index, name) for place in wanted]
        return tuple(state for state in found if state)

    async def _is_whole(self, place: Place, state: State, made: State | None = None) -> bool:
        """Whether the folder shows what was noted when it was made, or `made`, which says the same."""
        mark = place.mark
        if mark is None or (mark.volume, mark.number, mark.phase) != (state.id, state.number, "clean"):
            return False
        noted = made or await to_thread.run_sync(place.read_index, state.name)
        if noted is None or noted.hash != state.hash or not place.tree.exists():
            return False
        return await to_thread.run_sync(_looks_like, place, noted)

    async def _materialise(self, place: Place, state: State) -> State:
        """Make it; returns the state as it was noted."""
        noted = replace(state, tree=await self._fresh(place, state))
        await to_thread.run_sync(place.write_index, noted)
        place.put_mark(Mark(state.id, state.number, "clean", state.token, this_process()))
        return noted

    async def _bring_up_to_date(self, copy: Copy, settled: Settled) -> None:
        """Make the folder equal to the newest state."""
        head = settled.head
        if settled.copy is None:
            copy.place.note_used(0)
            await self._mark(copy, head, "restoring")
            copy.state = replace(head, tree=await self._fresh(copy.place, head))
        elif not await to_thread.run_sync(differs, copy.state.tree, head.tree):
            copy.state = replace(head, tree=copy.state.tree)
        else:
            before, after = await room_for(copy.state), await room_for(head)
            grown = Room(max(0, after.bytes - before.bytes), max(0, after.files - before.files))
            await self._cache.make_room(grown)
            await self._mark(copy, head, "restoring")
            try:
                tree = await self._restored(copy.place.tree, copy.state.tree, head)
            except DiskFullError:
                tree = await self._fresh(copy.place, head)
            copy.state = replace(head, tree=tree)
        copy.place.note_used()

    async def _mark(self, copy: Copy, state: State, phase: Literal["leased", "restoring"]) -> None:
        try:
            put_mark(copy.lease, copy.place, state, phase)
        except DiskFullError:
            await self._cache.make_room(_MARK_ROOM)
            put_mark(copy.lease, copy.place, state, phase)

    async def _fresh(self, place: Place, head: State) -> Folder:
        """Make the folder anew, on a full disk twice; a half-made one never stands in its place."""
        wanted = await room_for(head)
        await self._cache.make_room(wanted)
        try:
            made = await self._made(place, head)
        except DiskFullError:
            place.note_used(0)
            await to_thread.run_sync(place.remove, "new")
            await self._cache.make_room(Room(2 * wanted.bytes, 2 * wanted.files))  # once was not enough
            made = await self._made(place, head)
        place.note_used(wanted.bytes)
        return made

    async def _made(self, place: Place, head: State) -> Folder:
        await to_thread.run_sync(place.make_empty_tree)
        tree = await self._restored(place.folder / "new", None, head, await self._cache.lenders(place))
        await to_thread.run_sync(place.publish_tree)
        return tree._replace(stat=stat_of(place.tree.lstat()))  # being renamed shows

    async def _restored(
        self, folder: Path, old: Folder | None, head: State, lenders: Sequence[Path] = ()
    ) -> Folder:
        root = await to_thread.run_sync(os.open, folder, FOLDER_FLAGS)
        try:
            return await restore(self._store, root, old, head, lenders)
        finally:
            os.close(root)


def _looks_like(place: Place, state: State) -> bool:
    """Whether a folder shows what was noted when it was made; a reader may have had it writable."""
    root = os.open(place.tree, FOLDER_FLAGS)
    try:
        findings = scan(root, state.tree)
        put_back_modes(root, findings)
        if findings.pending or findings.tree is None:
            return False
        return not differs(state.tree, findings.tree)
    finally:
        os.close(root)
