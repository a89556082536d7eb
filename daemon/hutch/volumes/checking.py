"""Proves a volume whole: its log from the oldest entry on, its checkpoints, its packs, every block."""

from dataclasses import dataclass, field, replace

from anyio import to_thread

from hutch.volumes.blocks import block_of, layout
from hutch.volumes.engine import Engine
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.nodes import File, Folder
from hutch.volumes.packs import Pack, digest, read_footer, unpack_block
from hutch.volumes.patches import difference
from hutch.volumes.records import CheckReport
from hutch.volumes.state import Hints, State


@dataclass(slots=True)
class _Tally:
    """What was proven so far, and what was not."""

    entries: int = 0
    checkpoints: int = 0
    blocks: int = 0
    bytes_read: int = 0
    packs: set[str] = field(default_factory=set)  # keys in the store
    problems: list[str] = field(default_factory=list)


class Checker:
    """Reads everything of a volume and believes nothing that it can prove."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._history = engine.history
        self._leases = engine.leases

    async def check(self, name: VolumeName) -> CheckReport:
        """Raises HutchError `volume_unknown`, `store_unavailable`. Damage is reported, not raised."""
        tally = _Tally()
        newest = 0
        try:
            record, _ = await self._leases.read(name)
            newest = await self._check_log(record.beginning(name), record.hints, tally)
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

    async def _check_log(self, state: State, hints: Hints, tally: _Tally) -> int:
        """Follow the chain from its oldest entry; each tree's new content and each checkpoint on the way."""
        checkpoints = await self._checkpoints(state.identity)
        oldest = await self._oldest(state.identity)
        if oldest > 1:  # history was thinned out: it begins with a checkpoint
            state = await self._history.own_checkpoint(replace(state, number=oldest - 1))
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
        if hints.head and state.number < hints.head.number:
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
        """Packs that are new, and that what files name lies within them."""
        for pack in state.packs.values():
            key = (pack.volume or state.identity).key(pack.key)
            if key not in tally.packs:
                tally.packs.add(key)
                await self._check_pack(pack, key, tally)
        for step in difference(before, state.tree):
            try:
                if isinstance(step.new, File):
                    _check_file(state, step.new)
            except DamagedError as error:
                tally.problems.append(error.message)

    async def _check_pack(self, pack: Pack, key: str, tally: _Tally) -> None:
        try:
            data, _ = await self._store.get(key)
            tally.bytes_read += len(data)
            tally.blocks += await to_thread.run_sync(_prove_pack, pack, key, data)
        except NotFoundError:
            tally.problems.append(f"object {key!r} is missing")
        except DamagedError as error:
            tally.problems.append(error.message)

    async def _checkpoints(self, volume: Identity) -> set[int]:
        prefix = volume.key("checkpoints/")
        return {int(info.key.removeprefix(prefix)) async for info in self._store.list(prefix)}

    async def _oldest(self, volume: Identity) -> int:
        prefix = volume.key("log/")
        async for info in self._store.list(prefix):
            return int(info.key.removeprefix(prefix))
        return 1


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
