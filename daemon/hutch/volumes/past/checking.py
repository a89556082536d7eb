"""Proves a volume whole: its log from the oldest entry on, its checkpoints, its packs, every block."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from anyio import to_thread

from hutch.volumes.engine import Engine
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.log.state import ForkPoint, Hints, State, packs_of
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.past.forking import marker_key
from hutch.volumes.past.keeping import KeepList
from hutch.volumes.records import CheckReport
from hutch.volumes.tree.blocks import block_of, layout
from hutch.volumes.tree.nodes import File, Folder
from hutch.volumes.tree.packs import Pack, digest, read_footer, unpack_block
from hutch.volumes.tree.patches import difference

Told = Callable[[int], Awaitable[None]]  # is told how much was read so far


@dataclass(slots=True)
class _Tally:
    """What was proven so far, and what was not."""

    entries: int = 0
    checkpoints: int = 0
    blocks: int = 0
    bytes_read: int = 0
    packs: set[str] = field(default_factory=set)  # keys in the store
    problems: list[str] = field(default_factory=list)
    told: Told | None = None

    async def read(self, count: int) -> None:
        self.bytes_read += count
        if self.told is not None:
            await self.told(self.bytes_read)


class Checker:
    """Reads everything of a volume and believes nothing that it can prove."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._history = engine.history
        self._leases = engine.leases
        self._keeping = engine.keeping
        self._markers = engine.markers
        self._tags = engine.tags

    async def check(self, name: VolumeName, told: Told | None = None) -> CheckReport:
        """Raises HutchError `volume_unknown`, `store_unavailable`. Damage is reported, not raised."""
        tally = _Tally(told=told)
        newest = 0
        try:
            record, _ = await self._leases.read(name)
            keep, _ = await self._keeping.read(record.identity(name))
            await self._check_kept(record.beginning(name), keep, tally)
            if record.fork and not await self._is_marked(record.fork, record.volume):
                # Without its name, which whoever asks may have no right to know
                tally.problems.append("its parent has no marker of it, and may collect what it needs")
            newest = await self._check_log(record.beginning(name), record.hints, keep.until, tally)
        except (DamagedError, NotFoundError) as error:
            tally.problems.append(error.message)
        return CheckReport(
            str(name),
            newest,
            tally.entries,
            tally.checkpoints,
            len(tally.packs),
            tally.blocks,
            tally.bytes_read,
            tuple(tally.problems),
        )

    async def _check_kept(self, beginning: State, keep: KeepList, tally: _Tally) -> None:
        """Each snapshot that is kept of thinned history, or that a tag or a marker names."""
        volume = beginning.identity
        numbers = set(keep.numbers)
        for number, problem in await self._marked(volume, tally):
            if await self._is_there(volume, number):
                numbers.add(number)
            else:
                tally.problems.append(problem)
        state = beginning
        for number in sorted(numbers):
            if number > keep.until:
                continue
            try:
                after = await self._history.until(state, number)
            except (DamagedError, NotFoundError) as error:
                tally.problems.append(error.message)
                continue
            tally.entries += 1
            await self._check_content(after, state.tree if state.number else None, tally)
            state = after

    async def _is_marked(self, point: ForkPoint, fork_id: str) -> bool:
        """Invariant 11."""
        try:
            await self._store.get(point.volume.key(marker_key(fork_id)))
        except NotFoundError:
            return False
        return True

    async def _marked(self, volume: Identity, tally: _Tally) -> list[tuple[int, str]]:
        """The numbers that tags and markers name, and what to say where there is none such."""
        found = []
        try:
            for tag in await self._tags.all(volume):
                problem = f"tag '{tag.label}' of volume '{volume.name}' names a snapshot that is not there"
                found.append((tag.number, problem))
            for marker in await self._markers.all(volume):
                problem = f"a fork of it needs snapshot {marker.number}, which is not there"
                found.append((marker.number, problem))
        except DamagedError as error:
            tally.problems.append(error.message)
        return found

    async def _is_there(self, volume: Identity, number: int) -> bool:
        try:
            await self._history.header(volume, number)
        except NotFoundError:
            return False
        return True

    async def _check_log(self, beginning: State, hints: Hints, until: int, tally: _Tally) -> int:
        """Follow the chain of what was not thinned out; with each tree's new content, each checkpoint."""
        volume = beginning.identity
        checkpoints = await self._numbers(volume, "checkpoints/")
        last = max(await self._numbers(volume, "log/"), default=0)
        if until and until < last:
            state = await self._history.at(volume, until + 1)
            tally.entries += 1
        else:
            state = await self._history.begun(beginning)
        await self._check_content(state, None, tally)
        while True:
            try:
                after = await self._history.following(state)
            except NotFoundError:
                break
            tally.entries += 1
            await self._check_content(after, state.tree if state.number else None, tally)
            if after.number in checkpoints:
                await self._check_checkpoint(after, tally)
            state = after
        if state.number < max(last, hints.head.number if hints.head else 0):
            raise DamagedError(f"entry {state.number + 1} of volume '{state.name}'", "it is missing")
        return state.number

    async def _check_checkpoint(self, state: State, tally: _Tally) -> None:
        try:
            told = await self._history.own_checkpoint(state)
        except DamagedError as error:
            tally.problems.append(error.message)
            return
        tally.checkpoints += 1
        if told.hash != state.hash or next(difference(told.tree, state.tree), None) is not None:
            tally.problems.append(
                f"checkpoint {state.number} of volume '{state.name}' is not what the log tells"
            )

    async def _check_content(self, state: State, before: Folder | None, tally: _Tally) -> None:
        """That what new files name lies within packs, and those packs."""
        named: set[int] = set()
        for step in difference(before, state.tree):
            if not isinstance(step.new, File):
                continue
            try:
                _check_file(state, step.new)
                named |= packs_of(step.new)
            except DamagedError as error:
                tally.problems.append(error.message)
        for number in sorted(named):
            pack = state.packs[number]
            key = (pack.volume or state.identity).key(pack.key)
            if key not in tally.packs:
                tally.packs.add(key)
                await self._check_pack(pack, key, tally)

    async def _check_pack(self, pack: Pack, key: str, tally: _Tally) -> None:
        try:
            data, _ = await self._store.get(key)
            await tally.read(len(data))
            tally.blocks += await to_thread.run_sync(_prove_pack, pack, key, data)
        except NotFoundError:
            tally.problems.append(f"object {key!r} is missing")
        except DamagedError as error:
            tally.problems.append(error.message)

    async def _numbers(self, volume: Identity, folder: str) -> set[int]:
        prefix = volume.key(folder)
        return {int(info.key.removeprefix(prefix)) async for info in self._store.list(prefix)}


def _prove_pack(pack: Pack, key: str, data: bytes) -> int:
    """Name, footer and blocks of a pack; of inline blocks only these. Returns the number of blocks."""
    where = f"object {key!r}"
    if pack.key.startswith("packs/"):
        if f"packs/{digest(data)}" != pack.key:
            raise DamagedError(where, "its content does not have the hash in its name")
        if read_footer(data, where) != pack.blocks:
            raise DamagedError(where, "its footer is not what the log tells")
    view = memoryview(data)
    for block in pack.blocks:
        unpack_block(block, view[block.offset : block.offset + block.stored], where)
    return len(pack.blocks)


def _check_file(state: State, node: File) -> None:
    if node.at is not None:
        _, block = block_of(state, node.at[:2])
        if not 0 <= node.at[2] <= block.length - node.size:
            raise DamagedError(f"volume '{state.name}'", "a file reaches beyond its block")
    elif node.chunker is not None:
        for _ in layout(state, node):
            pass
    elif node.size:
        raise DamagedError(f"volume '{state.name}'", "a file has no content")
