"""What of a volume's objects its snapshots need. What cannot be read ends the question: no guess is made."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
from anyio import to_thread

from hutch.volumes.engine import Engine
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.log.codec import read_packs
from hutch.volumes.log.history import checkpoint_key, entry_key
from hutch.volumes.log.state import Hints, Reference, State, packs_needed
from hutch.volumes.names import Identity
from hutch.volumes.threads import first_error
from hutch.volumes.tree.packs import Pack

_TOGETHER = 8  # entries asked for at a time
_REMEMBERED = 50_000  # snapshots and entries, each with the packs that it names: they never change


@dataclass(frozen=True, slots=True)
class Needs:
    """Keys below the volume's folder, and whether anything of the volume that it is a fork of."""

    keys: frozenset[str]
    parent: bool


@dataclass(slots=True)
class _Found:
    keys: set[str] = field(default_factory=set)
    parent: bool = False

    def add_packs(self, packs: "frozenset[str | None]") -> None:
        for key in packs:
            if key is None:
                self.parent = True
            else:
                self.keys.add(key)


class Liveness:
    """Follows what snapshots name."""

    def __init__(self, engine: Engine) -> None:
        self._history = engine.history
        # The keys of packs that a snapshot uses, or that an entry brings; None: of another volume.
        self._packs: OrderedDict[tuple[str, str, int], frozenset[str | None]] = OrderedDict()
        self._seen: dict[str, Reference] = {}  # by id: the newest entry of the log that this was read from

    async def of_live(self, beginning: State, hints: Hints, until: int, numbers: set[int]) -> Needs:
        """What the newest state, every snapshot after `until` and those of `numbers` need.

        Raises:
            HutchError: `volume_damaged`, `store_unavailable`: then nothing may be deleted.
        """
        newest = await self._history.newest(beginning, hints)
        volume = newest.identity
        await self._forget_if_set_back(volume)
        if newest.number:
            self._seen[volume.id] = newest.reference
        found = _Found()
        found.add_packs(await self._used(newest))
        if newest.number:
            await self._add_open(newest, hints, min(until + 1, newest.number), found)
        else:
            found.parent |= newest.fork is not None
        await self._add_closed(volume, sorted(number for number in numbers if number <= until), found)
        return Needs(frozenset(found.keys), found.parent)

    async def of_marked(self, volume: Identity, numbers: set[int]) -> Needs:
        """What some snapshots of a volume that is no more need."""
        await self._forget_if_set_back(volume)
        found = _Found()
        await self._add_closed(volume, sorted(numbers), found)
        return Needs(frozenset(found.keys), found.parent)

    async def _add_open(self, newest: State, hints: Hints, first: int, found: _Found) -> None:
        """Every snapshot from `first` to the newest, and all that a reader goes through to them."""
        volume = newest.identity
        base = await self._base(volume, first, found)
        # A reader begins where the lease points to, and asks for one entry after the other.
        base = min([base, *(each.number - 1 for each in hints if each)])
        for number in range(base, newest.number + 1):
            found.keys |= {entry_key(number), checkpoint_key(number)}
        found.add_packs(await self._used_at(volume, first))
        add = partial(self._add_brought, volume, found=found)
        await _together(add, range(first + 1, newest.number + 1))

    async def _add_closed(self, volume: Identity, numbers: list[int], found: _Found) -> None:
        """Single snapshots, by number: each with what a reader goes through to it."""
        for number in numbers:
            if number < 1:
                continue
            base = await self._base(volume, number, found)
            if base:
                found.keys.add(checkpoint_key(base))
            found.keys |= {entry_key(each) for each in range(base + 1, number + 1)} | {entry_key(number)}
            found.add_packs(await self._used_at(volume, number))

    async def _base(self, volume: Identity, number: int, found: _Found) -> int:
        """The checkpoint that a reader of a snapshot begins with; 0: at the log's beginning."""
        header = await self._history.needed_header(volume, number)
        if header["checkpoint"]:
            return int(header["checkpoint"]["number"])
        first = header if number == 1 else await self._history.needed_header(volume, 1)
        found.parent |= first["fork"] is not None
        return 0

    async def _used_at(self, volume: Identity, number: int) -> "frozenset[str | None]":
        known = self._packs.get(("at", volume.id, number))
        return await self._used(await self._history.at(volume, number)) if known is None else known

    async def _used(self, state: State) -> "frozenset[str | None]":
        """The packs that a snapshot's files name."""
        used = _keys((await to_thread.run_sync(packs_needed, state)).values())
        if state.number:
            self._remember(("at", state.id, state.number), used)
        return used

    async def told(self, volume: Identity, numbers: Sequence[int]) -> frozenset[str]:
        """The volume's own packs that some entries tell, as far as these can be read."""
        found = _Found()

        async def add(number: int) -> None:
            with suppress(DamagedError):
                await self._add_brought(volume, number, found)

        await _together(add, numbers)
        return frozenset(found.keys)

    async def _add_brought(self, volume: Identity, number: int, found: _Found) -> None:
        """The packs that an entry tells."""
        packs = self._packs.get(("by", volume.id, number))
        if packs is None:
            header = await self._history.needed_header(volume, number)
            packs = _keys(read_packs(header["packs"], f"entry {number} of volume '{volume.name}'"))
            self._remember(("by", volume.id, number), packs)
        found.add_packs(packs)

    async def _forget_if_set_back(self, volume: Identity) -> None:
        """A store may have been set back to a backup, and other entries may have the same numbers since."""
        seen = self._seen.get(volume.id)
        if seen is None:
            return
        with suppress(NotFoundError):
            if await self._history.reference(volume, seen.number) == seen:
                return
        self._packs.clear()

    def _remember(self, key: tuple[str, str, int], packs: "frozenset[str | None]") -> None:
        self._packs[key] = packs
        while len(self._packs) > _REMEMBERED:
            self._packs.popitem(last=False)


async def _together(ask: Callable[[int], Coroutine[Any, Any, None]], numbers: Sequence[int]) -> None:
    for start in range(0, len(numbers), _TOGETHER):
        with first_error():
            async with anyio.create_task_group() as tasks:
                for number in numbers[start : start + _TOGETHER]:
                    tasks.start_soon(ask, number)


def _keys(packs: Iterable[Pack]) -> "frozenset[str | None]":
    return frozenset(pack.key if pack.volume is None else None for pack in packs)
