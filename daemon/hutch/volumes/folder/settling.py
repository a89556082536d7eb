"""Saves what a working folder holds beyond the log: as a commit, or as a conflict fork where others wrote."""

import logging
from dataclasses import dataclass, replace
from typing import Literal

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import (
    DamagedError,
    FolderBusyError,
    LeaseHeldError,
    NotFoundError,
    QuotaExceededError,
    VolumeUnknownError,
)
from hutch.volumes.folder.copies import Copies, Copy
from hutch.volumes.folder.working import Mark, Place
from hutch.volumes.lease.holders import this_process
from hutch.volumes.lease.leases import Lease
from hutch.volumes.log.recent import Recent
from hutch.volumes.log.state import Hints, State
from hutch.volumes.names import VolumeName
from hutch.volumes.records import Recovered, Snapshot
from hutch.volumes.tree.patches import differs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a folder's own changes. `copy` None: nothing usable lies there now."""

    head: State
    copy: Copy | None
    snapshot: Snapshot | None = None
    conflict: VolumeName | None = None


class Settling:
    """Knows what working folders stand on and saves what they hold beyond it. The caller locks places."""

    def __init__(self, engine: Engine, copies: Copies) -> None:
        self._history = engine.history
        self._leases = engine.leases
        self._publisher = engine.publisher
        self._keeping = engine.keeping
        self._clock = engine.clock
        self._copies = copies
        # The trees of places, by the tag of the index that says the same
        self._warm: Recent[tuple[VolumeName, object]] = Recent()

    async def settle(self, lease: Lease, place: Place) -> Settled:
        """Save the folder's own changes under a lease; also tells the newest state after that."""
        known = await self._indexed(place, lease.record.beginning(lease.name))
        head = await self._history.newest(known, lease.record.hints)
        mark = place.mark
        if not place.tree.exists():  # evicted, or removed by hand
            return Settled(head, None)
        if mark is None or mark.volume != head.id or mark.number > head.number:
            is_of_another = mark is not None and mark.volume != head.id  # which had this name
            if not (is_of_another and await self._copies.is_committed(place, lease.name)):
                await to_thread.run_sync(place.set_aside, self._clock.now())
            return Settled(head, None)
        if mark.phase == "restoring":
            return Settled(head, None)
        base = await self._base(mark, known, head)
        is_old = await to_thread.run_sync(differs, base.tree, head.tree)
        if is_old or mark.crossed_boot:  # invariant 17
            clean, conflict = await self._apart(place, (base, head), mark)
            return Settled(head, Copy(lease, place, clean) if clean else None, conflict=conflict)
        copy = Copy(lease, place, replace(head, tree=base.tree), noted=known)
        try:
            snapshot = await self._copies.commit(copy, mark.run)
        except QuotaExceededError as error:
            _log.warning("volume %s: what %s had left: %s", lease.name, mark.run, error.hint)
            return Settled(head, None)
        if snapshot:
            _log.warning("volume %s: committed what %s had left", lease.name, mark.run)
        return Settled(copy.state, copy, snapshot)

    async def base(self, beginning: State, hints: Hints, place: Place) -> State:
        """What a folder stands on. Raises HutchError `not_checked_out`: that is not known."""
        known = await self._indexed(place, beginning)
        head = await self._history.newest(known, hints)
        mark = place.mark
        if mark is None or mark.volume != head.id or mark.number > head.number or mark.phase == "restoring":
            raise HutchError(
                "not_checked_out",
                f"the working folder of volume '{beginning.name}' stands on no snapshot",
                "check the volume out first",
            )
        return await self._base(mark, known, head)

    async def settle_leftover(self, lease: Lease, place: Place) -> Settled:
        """The same, and note the folder as clean: nobody works in it."""
        settled = await self.settle(lease, place)
        if settled.copy:
            await put_clean(settled.copy)
        return settled

    async def recover(self, name: VolumeName, place: Place) -> Recovered | None:
        """Save what a dead run left. None: nothing was left, or a living daemon works there."""
        try:
            async with place.locked(wait_s=0):
                mark = place.mark
                if mark is None or mark.phase != "leased":
                    return None
                settled = await self._recover(name, place, mark)
        except FolderBusyError:
            return None
        except HutchError as error:
            return Recovered(str(name), None, problem=f"{error.code}: {error.message}")
        except OSError as error:
            return Recovered(str(name), None, problem=f"its folder cannot be used: {error}")
        number = settled.snapshot.number if settled.snapshot else None
        return Recovered(str(name), number, str(settled.conflict) if settled.conflict else None)

    async def _recover(self, name: VolumeName, place: Place, mark: Mark) -> Settled:
        try:
            async with self._leases.held(name, f"recovery of {mark.run}") as lease:
                if lease.was_left:
                    await self._publisher.fence(lease, lease.record.beginning(name))
                return await self.settle_leftover(lease, place)
        except VolumeUnknownError:
            # The volume was removed: as long as it is not deleted, what lies here can be a fork of it.
            gone = State(name, mark.volume)
            known = await self._indexed(place, gone)
            base = await self._kept(gone, known, mark.number)
            _, conflict = await self._apart(place, (base, base), mark)
            return Settled(base, None, conflict=conflict)
        except LeaseHeldError:
            record, _ = await self._leases.read(name)
            if record.token <= mark.token:
                raise
            # Someone else took the volume over: what lies here can only become a fork.
            known = await self._indexed(place, record.beginning(name))
            head = await self._history.newest(known, record.hints)
            _, conflict = await self._apart(place, (await self._base(mark, known, head), head), mark)
            return Settled(head, None, conflict=conflict)

    def keep_warm(self, name: VolumeName, place: Place, state: State) -> None:
        """Remember what was just noted in the index."""
        self._warm.keep((name, place.index_tag), state)

    async def _apart(
        self, place: Place, states: tuple[State, State], mark: Mark
    ) -> tuple[State | None, VolumeName | None]:
        """A folder that must not be committed to its volume: it becomes a conflict fork.

        Unless it equals what it stands on, or the head: it was saved, but a full disk took no note of it.
        """
        for state in states:
            clean = await self._copies.settled(place, state)
            if clean is not None:
                return clean, None
        return None, await self._copies.keep_as_conflict(place, states[0], mark.run)

    async def _base(self, mark: Mark, known: State, head: State) -> State:
        """What the folder stands on, with stats as far as they are known."""
        number = mark.number
        # Entries under a run's token came from this folder, though the mark may not know them yet.
        while mark.phase == "leased" and number < head.number:
            try:
                header = await self._history.header(head.identity, number + 1)
            except NotFoundError:
                break
            if header["token"] != mark.token:
                break
            number += 1
        if number == head.number:
            return head
        return await self._kept(head, known, number)

    async def _kept(self, head: State, known: State, number: int) -> State:
        """An older state; one without anything where history was thinned out and `known` is another."""
        start = known if known.number <= number else State(head.name, head.id, fork=head.fork)
        try:
            return await self._history.until(start, number)
        except DamagedError:
            keep, _ = await self._keeping.read(head.identity)
            if keep.holds(number):
                raise
            return State(head.name, head.id)

    async def _indexed(self, place: Place, beginning: State) -> State:
        """The state last noted for this folder, with stats; `beginning` if it is of another volume."""
        state = self._warm.take((beginning.name, place.index_tag))
        if state is None:
            state = await to_thread.run_sync(place.read_index, beginning.name)
        return replace(state, fork=beginning.fork) if state and state.id == beginning.id else beginning


def put_mark(
    lease: Lease, place: Place, state: State, phase: Literal["clean", "leased", "restoring"]
) -> None:
    """Note what the folder is, from now on under this lease."""
    place.put_mark(Mark(state.id, state.number, phase, lease.token, this_process(), lease.holder))


async def put_clean(copy: Copy) -> bool:
    """Note that the folder equals its snapshot. Where it cannot be noted, the next to come compares them."""
    try:
        await copy.note()
        put_mark(copy.lease, copy.place, copy.state, "clean")
    except HutchError as error:
        _log.warning("volume %s: its folder is compared at its next use: %s", copy.lease.name, error.message)
        return False
    copy.place.note_used(copy.stored_bytes or None)
    return True
