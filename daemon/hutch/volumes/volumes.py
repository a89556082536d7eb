"""The storage engine's door: lease, check out, commit, read, write, recover, check."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.clock import Clock, SystemClock
from hutch.volumes.engine import build_engine
from hutch.volumes.folder.beneath import read_file
from hutch.volumes.folder.cache import MAX_BYTES, Cache, Room
from hutch.volumes.folder.copies import Copies, Copy
from hutch.volumes.folder.desk import Desk
from hutch.volumes.lease.leases import TTL_S, Lease
from hutch.volumes.log.quotas import Quotas
from hutch.volumes.names import VolumeName
from hutch.volumes.past.adopting import Adopting
from hutch.volumes.past.bounding import HistoryBound
from hutch.volumes.past.checking import Checker, Told
from hutch.volumes.past.collecting import Collector
from hutch.volumes.past.door import PastDoor
from hutch.volumes.past.housekeeping import Housekeeper
from hutch.volumes.past.measuring import Measurer
from hutch.volumes.past.snapshots import Past, streamed
from hutch.volumes.past.thinning import Thinner
from hutch.volumes.reading import Reader
from hutch.volumes.records import (
    At,
    CacheUse,
    CheckReport,
    FileRead,
    FolderList,
    LinkTarget,
    Recovered,
    Snapshot,
    TreeChange,
    TreeEntry,
    VolumeInfo,
)
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.streaming.freezing import Freezer
from hutch.volumes.streaming.status import StreamStatus
from hutch.volumes.streaming.stream import Stream, streaming
from hutch.volumes.transfer.folders import Transfer
from hutch.volumes.transfer.writing import WriteMode, Writer
from hutch.volumes.tree.contents import Contents


class Volumes(PastDoor):
    """All volumes of one store, with `cache` for this host's working folders (a private folder)."""

    def __init__(
        self,
        store: ObjectStore,
        cache: Path,
        *,
        clock: Clock | None = None,
        lease_ttl_s: float = TTL_S,
        cache_max_bytes: int = MAX_BYTES,
        quotas: Quotas | None = None,
    ) -> None:
        engine = build_engine(store, clock or SystemClock(), lease_ttl_s, quotas or Quotas())
        self._engine = engine
        self._leases = engine.leases
        self._publisher = engine.publisher
        self._thinner = Thinner(engine)
        self._collector = Collector(engine)
        self._bound = HistoryBound(engine, self._thinner, self._collector)
        self._copies = Copies(engine, self._bound)
        self._cache = Cache(cache, cache_max_bytes, self._copies)
        self._desk = Desk(engine, self._copies, self._cache)
        self._reader = Reader(engine)
        self._writer = Writer(engine, self._reader, self._bound)
        self._housekeeper = Housekeeper(engine, self._thinner, self._collector)
        self._measurer = Measurer(engine, self._reader)
        self._past = Past(engine, self._reader, self._desk)
        self._adopting = Adopting(engine, self._reader, self._bound)
        self._checker = Checker(engine)
        self._transfer = Transfer(engine, self._reader, self._cache, self._bound)

    async def info(self, name: VolumeName) -> VolumeInfo:
        """Raises HutchError `volume_unknown`."""
        return await self._reader.info(name)

    @asynccontextmanager
    async def lease(
        self, name: VolumeName, holder: str, *, create: bool = False, wait_s: float = 0
    ) -> AsyncGenerator[Lease]:
        """The exclusive right to write. What a dead run on this host left is committed first.

        Raises:
            HutchError: `volume_unknown` (and not `create`), `volume_held` after `wait_s` seconds.
        """
        async with self._leases.held(
            name, holder, create=create and not name.is_conflict, wait_s=wait_s
        ) as lease:
            if lease.was_left:
                await self._publisher.fence(lease, lease.record.beginning(name))
            is_whole = False
            try:
                await self._desk.settle_leftover(lease)
                yield lease
                is_whole = True
            finally:
                await self._desk.put_down(lease, is_whole=is_whole)

    async def check_out(self, lease: Lease) -> Path:
        """This host's working folder, equal to the newest snapshot. Valid until the lease ends."""
        lease.assert_held()
        copy = self._desk.copy(lease) or await self._desk.check_out(lease)
        return copy.place.tree

    async def commit(self, lease: Lease, run_id: str) -> Snapshot | None:
        """Make the working folder's state the newest snapshot; None: nothing had changed.

        Raises:
            HutchError: `lease_lost`: the hint names the volume that keeps the work.
        """
        return await self._copies.commit(self._checked_out(lease), run_id)

    @asynccontextmanager
    async def stream(
        self,
        lease: Lease,
        run_id: str,
        *,
        freezer: Freezer | None = None,
        on_event: Callable[[StreamStatus], None] | None = None,
    ) -> AsyncGenerator[Stream]:
        """While the block lasts, changes of the working folder become commits, marked as of a running run.

        Enter it when the folder is checked out, leave it when the sandbox is dead, then `commit`. A store
        that is away is tried again. `on_event` is told each status that is news. A lost lease ends it.
        """
        copy = self._checked_out(lease)
        async with streaming(
            self._engine, self._bound, copy, run_id, freezer=freezer, on_event=on_event
        ) as stream:
            yield stream

    def _checked_out(self, lease: Lease) -> Copy:
        copy = self._desk.copy(lease)
        if copy is None:
            raise HutchError(
                "not_checked_out", f"volume '{lease.name}' is not checked out", "check it out first"
            )
        return copy

    @asynccontextmanager
    async def check_out_read_only(self, name: VolumeName, at: At = None) -> AsyncGenerator[Path]:
        """A folder equal to a snapshot, shared by its readers: mount it read-only."""
        async with self._desk.snapshot(await self._reader.state(name, at, self._desk.noted)) as folder:
            yield folder

    async def log(self, name: VolumeName, limit: int = 20) -> Sequence[Snapshot]:
        """Newest first."""
        return await self._reader.log(name, limit)

    async def read(
        self,
        name: VolumeName,
        path: str | bytes,
        *,
        at: At = None,
        offset: int = 0,
        limit: int = 1 << 20,
    ) -> FileRead | FolderList | LinkTarget:
        """A part of a file, a folder's entries, or a link's target, straight from the store.

        Raises:
            HutchError: `volume_unknown`, `snapshot_unknown`, `path_unknown`, `path_invalid`, `not_a_folder`.
        """
        return await self._reader.read(name, path, at, offset, limit)

    def tree(self, name: VolumeName, at: At = None, prefix: str | bytes = "/") -> AsyncGenerator[TreeEntry]:
        """Everything below `prefix`, a folder before what is in it."""
        return self._reader.tree(name, at, prefix)

    async def write(
        self,
        name: VolumeName,
        path: str | bytes,
        data: bytes,
        *,
        mode: WriteMode = "create",
        executable: bool = False,
        holder: str = "write",
    ) -> Snapshot:
        """Write one file as one commit; makes its folders, and the volume, where missing. Takes the lease.

        Raises:
            HutchError: `path_exists`, `path_invalid`, `not_a_folder`, `not_a_file`, and those of `lease`.
        """
        async with self.lease(name, holder, create=True) as lease:
            return await self._writer.write(lease, path, data, mode=mode, executable=executable)

    def refuse_more(self, name: VolumeName, files: int, size: int) -> None:
        """Refuse what is more than a volume may hold. Raises HutchError `quota_exceeded`."""
        self._engine.quotas.refuse_more(name, files, size)

    def scratch(self) -> AbstractAsyncContextManager[Path]:
        """An empty folder on the disk of the cache, gone after the block: for what `put_folder` takes."""
        return self._transfer.scratch()

    async def put_folder(
        self, lease: Lease, path: str | bytes, source: Path, *, replaces: bool = True
    ) -> Snapshot | None:
        """Join what a folder of this host holds into a folder of the volume, as one commit; None: no change.

        Raises:
            HutchError: `path_exists`, `path_invalid`, `not_a_folder`.
        """
        return await self._transfer.put(lease, path, source, replaces=replaces)

    def folder(self, name: VolumeName, path: str | bytes, at: At = None) -> AbstractAsyncContextManager[Path]:
        """A copy of one folder of a snapshot, gone after the block.

        Raises:
            HutchError: as `read` does, and `not_a_folder` for anything else.
        """
        return self._transfer.folder(name, path, at)

    async def recover(self) -> Sequence[Recovered]:
        """Commit what dead predecessors on this host left in working folders; call once at start-up."""
        await self._transfer.clear_scratch()
        return await self._desk.recover()

    async def tend_cache(self) -> None:
        """Keep this host's folders within `cache_max_bytes`, in the background, until cancelled."""
        await self._cache.tend()

    async def make_room(self, wanted_bytes: int) -> None:
        """Let folders leave the cache until so much more fits, there and on its disk, or none can leave."""
        await self._cache.make_room(Room(wanted_bytes, 0))

    async def cache_use(self) -> CacheUse:
        """What this host's folders take of its disk."""
        return await self._cache.use()

    async def check(self, name: VolumeName, told: Told | None = None) -> CheckReport:
        """Read everything that the newest snapshot and its history need, and prove it whole.

        `told` is called with the number of bytes read so far, again and again.
        """
        return await self._checker.check(name, told)

    async def list(self, *, removed: bool = False) -> Sequence[VolumeInfo]:
        """Every volume, by name; or every one that was removed and can be brought back."""
        return await self._reader.list(removed=removed)

    async def contents(self, name: VolumeName, at: At = None) -> Contents:
        """For reading many files of one snapshot. Raises HutchError as `read` does."""
        return Contents(self._engine.store, await self._reader.state(name, at))

    async def compare_working(
        self, name: VolumeName, *, prefix: str | bytes = "/"
    ) -> tuple[Contents, AsyncGenerator[TreeChange]]:
        """As `diff_working`, with the files of the snapshot that the folder stands on."""
        base, now = await self._past.working(name)
        return Contents(self._engine.store, base), streamed(base, now, prefix)

    async def compare_volumes(
        self, a: VolumeName, b: VolumeName, *, prefix: str | bytes = "/"
    ) -> tuple[Contents, Contents, AsyncGenerator[TreeChange]]:
        """What turns the newest snapshot of one volume into that of another, and the files of both."""
        old, new = await self._past.across(a, b)
        store = self._engine.store
        return Contents(store, old), Contents(store, new), streamed(old, new, prefix)

    async def read_working(self, name: VolumeName, path: bytes, limit: int) -> bytes | None:
        """The beginning of a file as it is now in this host's working folder; None: there is none."""
        return await to_thread.run_sync(read_file, self._desk.place(name).tree, path, limit)
