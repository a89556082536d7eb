"""What can be done with a volume's snapshots: compare them, name them, begin a new volume at one."""

from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from anyio import to_thread

from hutch.volumes.comparing import changes
from hutch.volumes.engine import Engine
from hutch.volumes.history import fork_point
from hutch.volumes.names import VolumeName
from hutch.volumes.reading import Reader
from hutch.volumes.records import At, Tag, TreeChange, VolumeInfo
from hutch.volumes.state import ForkPoint, State

_BATCH = 500  # changes found at a time: a comparison of large trees must not hold up the daemon


class Past:
    """The snapshots of all volumes of one store."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._history = engine.history
        self._leases = engine.leases
        self._selector = engine.selector
        self._tags = engine.tags
        self._forking = engine.forking
        self._reader = reader

    async def diff(self, name: VolumeName, a: At, b: At, prefix: str | bytes) -> AsyncGenerator[TreeChange]:
        """What turns snapshot `a` into `b`."""
        old, new = await self._reader.state(name, a), await self._reader.state(name, b)
        async for change in streamed(old, new, prefix):
            yield change

    async def fork(self, name: VolumeName, to: VolumeName, at: At) -> VolumeInfo:
        """A new volume that begins where a snapshot is."""
        await self._forking.begin(await self._point(name, at), to)
        return await self._reader.info(to)

    async def _point(self, name: VolumeName, at: At) -> ForkPoint | None:
        """Where a fork begins, found without reading a tree."""
        record, _ = await self._leases.read(name)
        volume = record.identity(name)
        number = await self._selector.resolve(volume, record.hints, at)
        if number is None:
            newest = await self._history.newest_reference(volume, record.hints)
            return ForkPoint(volume, *newest) if newest else record.fork
        return fork_point(await self._reader.state(name, number))

    async def tag(self, name: VolumeName, label: str, at: At) -> Tag:
        """Name a snapshot."""
        record, _ = await self._leases.read(name)
        volume = record.identity(name)
        number = await self._selector.resolve(volume, record.hints, at)
        if number is None:
            newest = await self._history.newest_reference(volume, record.hints)
            number = newest.number if newest else 0
        if number < 1:
            raise await self._selector.unknown(volume, record.hints, number)
        return await self._tags.put(volume, label, number)

    async def untag(self, name: VolumeName, label: str) -> None:
        """Take a name away."""
        record, _ = await self._leases.read(name)
        await self._tags.delete(record.identity(name), label)

    async def tags(self, name: VolumeName) -> tuple[Tag, ...]:
        """All names, by label."""
        record, _ = await self._leases.read(name)
        return await self._tags.all(record.identity(name))


async def streamed(old: State, new: State, prefix: str | bytes = "/") -> AsyncGenerator[TreeChange]:
    """The changes from one state to another, some at a time."""
    found = changes(old, new, prefix)
    while batch := await to_thread.run_sync(_some, found):
        for change in batch:
            yield change


def _some(found: Iterator[TreeChange]) -> list[TreeChange]:
    return list(islice(found, _BATCH))
