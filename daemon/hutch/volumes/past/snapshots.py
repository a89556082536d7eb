"""What can be done with a volume's snapshots: compare them, name them, begin a new volume at one."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from itertools import islice

from anyio import to_thread

from hutch.volumes.engine import Engine
from hutch.volumes.failures import NotFoundError, StoreError
from hutch.volumes.folder.desk import Desk
from hutch.volumes.lease.leases import Lease
from hutch.volumes.log.lines import sealed_line
from hutch.volumes.log.state import ForkPoint, State
from hutch.volumes.names import VolumeName
from hutch.volumes.past.adopting import told_apart
from hutch.volumes.past.comparing import changes
from hutch.volumes.past.going_back import GoingBack
from hutch.volumes.reading import Reader
from hutch.volumes.records import At, Snapshot, Tag, TreeChange, VolumeInfo

TOMBSTONE = "removed"  # below the folder of a volume that was removed
_BATCH = 500  # changes found at a time: a comparison of large trees must not hold up the daemon
_BATCH_PATHS = 1 << 20  # characters of their paths, each of which may be as long as a tree is deep


class Past:
    """The snapshots of all volumes of one store."""

    def __init__(self, engine: Engine, reader: Reader, desk: Desk) -> None:
        self._history = engine.history
        self._leases = engine.leases
        self._selector = engine.selector
        self._tags = engine.tags
        self._forking = engine.forking
        self._reader = reader
        self._desk = desk
        self._going_back = GoingBack(engine, reader)
        self._store = engine.store

    async def diff(self, name: VolumeName, a: At, b: At, prefix: str | bytes) -> AsyncGenerator[TreeChange]:
        """What turns snapshot `a` into `b`."""
        old, new = await self._reader.state(name, a), await self._reader.state(name, b)
        async for change in streamed(old, new, prefix):
            yield change

    async def across(self, a: VolumeName, b: VolumeName) -> tuple[State, State]:
        """The newest states of two volumes, such that their trees can be compared."""
        old, new = await self._reader.state(a), await self._reader.state(b)
        return old, await to_thread.run_sync(told_apart, old, new)

    async def diff_working(self, name: VolumeName, prefix: str | bytes) -> AsyncGenerator[TreeChange]:
        """What turns the snapshot that this host's folder stands on into what it holds."""
        base, now = await self.working(name)
        async for change in streamed(base, now, prefix):
            yield change

    async def working(self, name: VolumeName) -> tuple[State, State]:
        """The snapshot that this host's folder stands on, and what it holds."""
        record, _ = await self._leases.read(name)
        return await self._desk.compared(record.beginning(name), record.hints)

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
        if number == 0:
            return record.fork
        try:
            return ForkPoint(volume, *await self._history.reference(volume, number))
        except NotFoundError:
            raise await self._selector.unknown(volume, record.hints, number) from None

    async def restore(self, lease: Lease, at: At, prefix: str | bytes) -> Snapshot:
        """A new snapshot whose tree is the old one."""
        made = await self._going_back.go_back(lease, at, prefix)
        if made is None:
            (made,) = await self._reader.log(lease.name, 1)
        return made

    async def remove(self, lease: Lease) -> None:
        """The tombstone first: by its age in the store garbage collection knows when the time is over."""
        volume = lease.record.identity(lease.name)
        fork = lease.record.fork
        tombstone = {"volume": volume.id, "token": lease.token, "fork": fork.told() if fork else None}
        await self._store.put(volume.key(TOMBSTONE), sealed_line(tombstone))
        await self._leases.remove(lease)

    async def bring_back(self, name: VolumeName) -> VolumeInfo:
        """Undo a removal."""
        await self._leases.bring_back(name)
        record, _ = await self._leases.read(name)
        with suppress(StoreError):
            await self._store.delete(record.identity(name).key(TOMBSTONE))
        return await self._reader.info(name)

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
    batch: list[TreeChange] = []
    room = _BATCH_PATHS
    for change in islice(found, _BATCH):
        batch.append(change)
        room -= len(change.path)
        if room < 0:
            break
    return batch
