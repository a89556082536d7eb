"""Garbage collection: deletes what no snapshot that is kept needs. Any error ends it before it deletes.

Safe beside writers, forks, restores, readers and other collections, because each deletion follows this order
(invariants 10 and 18): the keep list is read, then markers and tags, then the newest state and all that is
kept; and a pack goes only once it is older than any commit takes.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import ConflictError, DamagedError, LeaseHeldError
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.record import LeaseRecord, lease_key
from hutch.volumes.log.history import entry_key
from hutch.volumes.log.lines import opened_line
from hutch.volumes.log.state import ForkPoint
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.past.forking import marker_key
from hutch.volumes.past.keeping import KEY, KeepList
from hutch.volumes.past.liveness import Liveness, Needs
from hutch.volumes.past.markers import DAY, Marker
from hutch.volumes.past.snapshots import TOMBSTONE
from hutch.volumes.records import Collected
from hutch.volumes.stores.clock import store_now
from hutch.volumes.stores.protocol import ObjectInfo

_log = logging.getLogger(__name__)
_ALL = (1 << 63) - 1  # no entry has such a number
_ASLEEP_S = 600.0  # a holder that has not renewed for so long may be asleep in the middle of a commit
_GIVEN_UP_S = 7 * 86_400.0  # and after so long it is not waited for
GRACE_S = 7 * 86_400.0  # in which a removed volume can be brought back
_HOLDER = "garbage collection"


@dataclass(slots=True)
class _Tally:
    entries: int = 0
    checkpoints: int = 0
    packs: int = 0
    markers: int = 0
    volumes: int = 0
    bytes: int = 0
    problem: str | None = None

    def add(self, info: ObjectInfo, key: str) -> None:
        """Count an object that goes; `key` is below its volume's folder."""
        self.bytes += info.size
        self.entries += key.startswith("log/")
        self.checkpoints += key.startswith("checkpoints/")
        self.packs += key.startswith("packs/")
        self.markers += key.startswith("forks/")


@dataclass(frozen=True, slots=True)
class _Survey:
    """A volume as garbage collection saw it. `dead` markers are keys in the store."""

    until: int
    needs: Needs
    infos: Sequence[ObjectInfo]
    dead: set[str]


class Collector:
    """Collects the garbage of all volumes of one store."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._history = engine.history
        self._leases = engine.leases
        self._publisher = engine.publisher
        self._keeping = engine.keeping
        self._markers = engine.markers
        self._tags = engine.tags
        self._liveness = Liveness(engine)

    async def collect(self, name: VolumeName, *, grace_s: float, dry_run: bool) -> Collected:
        """Also of volumes that had this name and were removed more than `grace_s` ago.

        Raises:
            HutchError: `volume_unknown`, `volume_damaged`, `store_unavailable`.
        """
        tally = _Tally()
        now = await store_now(self._store)
        record, tag = await self._leases.read_any(name)
        own = record.identity(name)
        for volume in await self._volumes_of(name):
            if volume == own and record.removed_at is None:
                await self._sweep(own, record, now, tally, dry_run=dry_run)
                continue
            try:
                is_over = await self._is_over(volume, now - timedelta(seconds=grace_s))
                if is_over and volume == own and not record.is_purged and not dry_run:
                    await self._leases.purge(name, record, tag)
                if is_over:
                    await self._purge(volume, now, tally, dry_run=dry_run)
            except ConflictError:
                tally.problem = f"volume '{name}' was brought back, or its name is in use again"
        return Collected(
            str(name),
            tally.entries,
            tally.checkpoints,
            tally.packs,
            tally.markers,
            tally.volumes,
            tally.bytes,
            dry_run,
            tally.problem,
        )

    async def _volumes_of(self, name: VolumeName) -> Sequence[Identity]:
        """Every volume that has or had the name, as far as objects are left of it."""
        prefix = f"volumes/{name.full}/"
        ids = {info.key.removeprefix(prefix).partition("/")[0] async for info in self._store.list(prefix)}
        return [Identity(name, each) for each in sorted(ids)]

    # A volume that is there ------------------------------------------------

    async def _sweep(
        self, volume: Identity, record: LeaseRecord, now: datetime, tally: _Tally, *, dry_run: bool
    ) -> None:
        survey = await self._surveyed(volume, record, now)
        packs_may_go = await self._has_no_sleeper(volume.name, record, now, tally, dry_run=dry_run)
        oldest_pack_kept = now - DAY if packs_may_go else datetime.min.replace(tzinfo=UTC)
        told = await self._told(volume, survey, oldest_pack_kept) if packs_may_go else frozenset()
        goes = []
        for info in survey.infos:
            key = info.key.removeprefix(volume.key(""))
            if key in survey.needs.keys:
                continue
            is_past = key.startswith(("log/", "checkpoints/")) and _number(key) <= survey.until
            is_old_pack = key.startswith("packs/") and (info.modified_at < oldest_pack_kept or key in told)
            if is_past or is_old_pack or info.key in survey.dead:
                goes.append(info)
        await self._delete(volume, goes, tally, dry_run=dry_run)
        if record.fork and not survey.needs.parent and not dry_run:
            await self._let_go_of_parent(volume, record.fork, now)

    async def _told(self, volume: Identity, survey: _Survey, since: datetime) -> frozenset[str]:
        """The packs that entries tell which are young and let go: no commit under way has put these."""
        entries = [info for info in survey.infos if info.key.startswith(volume.key("log/"))]
        young = [_number(info.key) for info in entries if info.modified_at >= since]
        return await self._liveness.told(volume, [number for number in young if number <= survey.until])

    async def _surveyed(self, volume: Identity, record: LeaseRecord, now: datetime) -> _Survey:
        """In this order: the keep list; markers and tags; what there is; what of it is needed."""
        keep, _ = await self._keeping.read(volume)
        markers, dead = await self._sorted_markers(volume, now)
        marked = {marker.number for marker in markers} | {tag.number for tag in await self._tags.all(volume)}
        infos = [info async for info in self._store.list(volume.key(""))]
        keys = {info.key for info in infos}
        # What was marked too late to be there is no reason to keep anything, and none to stop.
        marked = {number for number in marked if keep.holds(number) or volume.key(entry_key(number)) in keys}
        needs = await self._liveness.of_live(
            record.beginning(volume.name), record.hints, keep.until, marked | keep.numbers
        )
        return _Survey(keep.until, needs, infos, {marker.key for marker in dead})

    async def _sorted_markers(self, volume: Identity, now: datetime) -> tuple[list[Marker], list[Marker]]:
        """Those that hold something, and the dead."""
        live: list[Marker] = []
        dead: list[Marker] = []
        for marker in await self._markers.all(volume):
            (dead if await self._markers.is_dead(marker, now) else live).append(marker)
        return live, dead

    async def _has_no_sleeper(
        self, name: VolumeName, record: LeaseRecord, now: datetime, tally: _Tally, *, dry_run: bool
    ) -> bool:
        """Whether nobody can be in the middle of a commit that began long ago (invariant 10).

        A writer ends no commit that took half a day; one that was stopped just before it ends is fenced, but
        not before a week is over: the machine may only have been closed for the night.
        """
        if record.holder is None:
            return True
        unheard_s = 0.0
        async for info in self._store.list(lease_key(name)):
            if info.key == lease_key(name):
                unheard_s = (now - info.modified_at).total_seconds()
        if unheard_s < _ASLEEP_S:
            return True
        if unheard_s > _GIVEN_UP_S and not dry_run:
            with suppress(LeaseHeldError):
                async with self._leases.held(name, _HOLDER) as lease:
                    await self._fence(lease)
                    return True
        tally.problem = f"packs must wait: {record.holder} holds the volume and was not heard of lately"
        return False

    async def _fence(self, lease: Lease) -> None:
        if lease.was_left:
            await self._publisher.fence(lease, lease.record.beginning(lease.name))

    async def _let_go_of_parent(self, volume: Identity, point: ForkPoint, now: datetime) -> None:
        """Under the lease, so that nobody goes back to what the fork began with meanwhile."""
        with suppress(LeaseHeldError):  # another time
            async with self._leases.held(volume.name, _HOLDER) as lease:
                await self._fence(lease)
                survey = await self._surveyed(volume, lease.record, now)
                if not survey.needs.parent and lease.record.volume == volume.id:
                    await self._store.delete(point.volume.key(marker_key(volume.id)))
                    lease.forget_fork()
                    _log.info("volume %s: needs nothing of %s any more", volume.name, point.volume.name)

    # A volume that was removed ----------------------------------------------

    async def _is_over(self, volume: Identity, limit: datetime) -> bool:
        """Whether it was removed, and that before `limit` by the store's clock."""
        async for info in self._store.list(volume.key(TOMBSTONE)):
            if info.key == volume.key(TOMBSTONE):
                return info.modified_at <= limit
        return False

    async def _purge(self, volume: Identity, now: datetime, tally: _Tally, *, dry_run: bool) -> None:
        """Delete all but what forks of it need. First nothing of it may be relied on any more."""
        if not dry_run:
            keep, tag = await self._keeping.read(volume)
            if keep != KeepList(_ALL):
                await self._keeping.replace(volume, KeepList(_ALL), tag)
        markers, _ = await self._sorted_markers(volume, now)
        needs = await self._liveness.of_marked(volume, {marker.number for marker in markers})
        kept = {volume.key(key) for key in (*needs.keys, KEY, TOMBSTONE)} | {marker.key for marker in markers}
        goes = [info async for info in self._store.list(volume.key("")) if info.key not in kept]
        await self._delete(volume, goes, tally, dry_run=dry_run)
        if dry_run or markers:
            return
        point = await self._fork_point(volume)
        if point:
            await self._store.delete(point.volume.key(marker_key(volume.id)))
        await self._store.delete(volume.key(KEY))
        await self._store.delete(volume.key(TOMBSTONE))
        tally.volumes += 1
        _log.info("volume %s: what was removed under this name is deleted", volume.name)

    async def _fork_point(self, volume: Identity) -> ForkPoint | None:
        """What a removed volume was a fork of, as its tombstone tells."""
        where = f"the tombstone of volume '{volume.name}'"
        data, _ = await self._store.get(volume.key(TOMBSTONE))
        fields = opened_line(data, where)
        try:
            return ForkPoint.read(fields["fork"]) if fields["fork"] else None
        except (HutchError, TypeError, KeyError) as error:
            raise DamagedError(where, "it cannot be read") from error

    async def _delete(
        self, volume: Identity, infos: Sequence[ObjectInfo], tally: _Tally, *, dry_run: bool
    ) -> None:
        for info in infos:
            tally.add(info, info.key.removeprefix(volume.key("")))
            if not dry_run:
                await self._store.delete(info.key)


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])
