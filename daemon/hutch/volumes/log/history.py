"""Reads and writes a volume's log and checkpoints in its store."""

import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from hutch.errors import HutchError
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.log.codec import (
    CHECKPOINT,
    ENTRY,
    Header,
    Opened,
    opened,
)
from hutch.volumes.log.state import (
    NO_HINTS,
    ForkPoint,
    Hints,
    Reference,
    State,
    advanced,
    restored_checkpoint,
)
from hutch.volumes.names import Identity
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.threads import Job, in_order
from hutch.volumes.tree.nodes import EMPTY

_log = logging.getLogger(__name__)


def entry_key(number: int) -> str:
    """Below the volume's folder."""
    return f"log/{number:020}"


def checkpoint_key(number: int) -> str:
    """Below the volume's folder."""
    return f"checkpoints/{number:020}"


class History:
    """The logs of all volumes of one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def newest(self, known: State, hints: Hints = NO_HINTS) -> State:
        """The newest state, from `known` on.

        Raises:
            HutchError: `volume_damaged`, `store_unavailable`; never less than all of it (invariant 7).
        """
        known = await self._hinted(await self._standing(known, hints.head), hints.checkpoint)
        number = max(known.number, hints.head.number if hints.head else 0)
        entries: dict[int, tuple[Opened, int]] = {}
        if number > known.number:
            entries[number] = await self._needed_entry(known.identity, number)
        while True:
            try:
                entries[number + 1] = await self._entry(known.identity, number + 1)
            except NotFoundError:
                break
            number += 1
        return await self.begun(await self._replayed(known, number, entries))

    async def at(self, volume: Identity, number: int) -> State:
        """The state of one snapshot. Raises HutchError `snapshot_unknown`, and as `newest`."""
        try:
            return await self._replayed(State(*volume), number, {number: await self._entry(volume, number)})
        except NotFoundError:
            pass
        try:
            return await self.own_checkpoint(State(*volume, number))
        except NotFoundError:
            raise no_snapshot(volume, number) from None

    async def header(self, volume: Identity, number: int) -> Header:
        """An entry's header. Raises NotFoundError."""
        return (await self._entry(volume, number))[0].header

    async def reference(self, volume: Identity, number: int) -> Reference:
        """An entry by its number and hash. Raises NotFoundError."""
        return Reference(number, (await self._entry(volume, number))[0].hash)

    async def needed_header(self, volume: Identity, number: int) -> Header:
        """The same of one that must exist. Raises DamagedError."""
        return (await self._needed_entry(volume, number))[0].header

    async def newest_header(self, volume: Identity, hints: Hints) -> Header | None:
        """The header of the newest entry; None: there is none yet."""
        newest = await self._newest_entry(volume, hints)
        return newest.header if newest else None

    async def newest_reference(self, volume: Identity, hints: Hints) -> Reference | None:
        """The same by number and hash."""
        newest = await self._newest_entry(volume, hints)
        return Reference(newest.header["number"], newest.hash) if newest else None

    async def _newest_entry(self, volume: Identity, hints: Hints) -> Opened | None:
        entry = (await self._needed_entry(volume, hints.head.number))[0] if hints.head else None
        while True:
            try:
                entry, _ = await self._entry(volume, (entry.header["number"] if entry else 0) + 1)
            except NotFoundError:
                return entry

    async def until(self, known: State, number: int) -> State:
        """The state at `number`, which is not before `known`. Raises as `newest`."""
        return await self.begun(await self._replayed(known, number, {}))

    async def following(self, known: State) -> State:
        """The state after one more entry, whatever checkpoints there are. Raises NotFoundError."""
        return await self._advanced(known, await self._entry(known.identity, known.number + 1))

    async def own_checkpoint(self, state: State) -> State:
        """What the checkpoint with a state's number tells. Raises DamagedError, NotFoundError."""
        where = f"checkpoint {state.number} of volume '{state.name}'"
        data, _ = await self._store.get(state.identity.key(checkpoint_key(state.number)))
        checkpoint = await to_thread.run_sync(opened, CHECKPOINT, data, where)
        return await to_thread.run_sync(restored_checkpoint, state, checkpoint, len(data))

    async def _replayed(self, known: State, number: int, entries: dict[int, tuple[Opened, int]]) -> State:
        if number == known.number:
            return known
        if number not in entries:
            entries[number] = await self._needed_entry(known.identity, number)
        reference = entries[number][0].header["checkpoint"]
        if reference and reference["number"] > known.number:
            known = await self._checkpoint(known, Reference(**reference))

        async def take(entry: tuple[Opened, int]) -> None:
            nonlocal known
            known = await self._advanced(known, entry)

        await in_order(self._asked(known.identity, range(known.number + 1, number + 1), entries), take)
        return known

    async def _asked(
        self, volume: Identity, numbers: range, had: Mapping[int, tuple[Opened, int]]
    ) -> AsyncGenerator[Job[tuple[Opened, int]]]:
        """A job for each entry, some at once: one after the other, a slow store would be asked 64 times."""
        for number in numbers:

            async def ask(_: CapacityLimiter, number: int = number) -> tuple[Opened, int]:
                return had.get(number) or await self._needed_entry(volume, number)

            yield ask

    async def begun(self, beginning: State) -> State:
        """The state before the first entry, with the tree of the parent if it is a fork."""
        if beginning.fork is None or beginning.number or beginning.tree is not EMPTY:
            return beginning
        return await self._parent(beginning, beginning.fork)

    async def _advanced(self, known: State, entry: tuple[Opened, int]) -> State:
        fork = entry[0].header.get("fork")
        if fork and known.number == 0:
            known = await self.begun(replace(known, fork=ForkPoint.read(fork)))
        return await to_thread.run_sync(advanced, known, *entry)

    async def _standing(self, known: State, head: Reference | None) -> State:
        """`known`, if its entry is the one in the log: a store may have been set back since (invariant 2)."""
        if known.number == 0 or head == known.reference:
            return known
        try:
            entry, _ = await self._entry(known.identity, known.number)
        except NotFoundError:
            entry = None
        if entry is None or entry.hash != known.hash:
            _log.warning("volume %s: the log is not what this host knew; it is read anew", known.name)
            return State(known.name, known.id, fork=known.fork)
        return known

    async def _hinted(self, known: State, checkpoint: Reference | None) -> State:
        """Begin at a checkpoint that the lease names, if that is nearer than `known`."""
        if checkpoint is None or (known.checkpoint and checkpoint.number <= known.checkpoint.number):
            return known
        if checkpoint.number <= known.number:
            return replace(known, checkpoint=checkpoint, bytes_since=0)
        return await self._checkpoint(known, checkpoint)

    async def _checkpoint(self, known: State, reference: Reference) -> State:
        where = f"checkpoint {reference.number} of volume '{known.name}'"
        try:
            found = await self.own_checkpoint(replace(known, number=reference.number))
        except NotFoundError as error:
            raise DamagedError(where, "it is missing") from error
        if found.checkpoint != reference:
            raise DamagedError(where, "it is not the one that the log names")
        return found

    async def _parent(self, beginning: State, point: ForkPoint) -> State:
        parent = await self.at(point.volume, point.number)
        if parent.hash != point.hash:
            where = f"entry 1 of volume '{beginning.name}'"
            raise DamagedError(where, "its parent is not the snapshot it names")
        return forked(parent, beginning.identity)

    async def _needed_entry(self, volume: Identity, number: int) -> tuple[Opened, int]:
        """One that must exist. Raises DamagedError."""
        try:
            return await self._entry(volume, number)
        except NotFoundError as error:
            raise DamagedError(f"entry {number} of volume '{volume.name}'", "it is missing") from error

    async def _entry(self, volume: Identity, number: int) -> tuple[Opened, int]:
        data, _ = await self._store.get(volume.key(entry_key(number)))
        where = f"entry {number} of volume '{volume.name}'"
        return await to_thread.run_sync(opened, ENTRY, data, where), len(data)


def forked(parent: State, fork: Identity) -> State:
    """The state in which a fork of `parent` begins: its tree and packs, and no entry yet."""
    packs = {
        number: replace(pack, volume=pack.volume or parent.identity) for number, pack in parent.packs.items()
    }
    return replace(
        parent,
        name=fork.name,
        id=fork.id,
        number=0,
        hash=None,
        token=0,
        packs=packs,
        checkpoint=None,
        bytes_since=0,
        fork=fork_point(parent),
    )


def fork_point(state: State) -> ForkPoint | None:
    """Where a fork of `state` begins. None: on nothing, because nothing was committed yet."""
    if state.hash is None:
        return state.fork  # a fork that has no entry of its own is what its parent is
    return ForkPoint(state.identity, state.number, state.hash)


def no_snapshot(volume: Identity, number: int) -> HutchError:
    """What whoever asks for a snapshot is told that is not there."""
    return HutchError(
        "snapshot_unknown",
        f"volume '{volume.name}' has no snapshot {number}",
        f"see: hutch volume log {volume.name}",
    )
