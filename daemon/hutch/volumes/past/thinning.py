"""Decides which snapshots of a volume's history are kept. Garbage collection deletes what others needed."""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from hutch.volumes.engine import Engine
from hutch.volumes.failures import ConflictError
from hutch.volumes.log.codec import Header
from hutch.volumes.log.state import Hints
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.past.keeping import KeepList, Kept
from hutch.volumes.past.retention import RetentionRules, chosen
from hutch.volumes.past.selecting import before_fences
from hutch.volumes.records import Thinned
from hutch.volumes.stores.clock import store_now

_TRIES = 5  # against others who thin out the same volume


class Thinner:
    """Keeps the keep lists of all volumes of one store up to date."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._history = engine.history
        self._leases = engine.leases
        self._keeping = engine.keeping
        self._markers = engine.markers
        self._tags = engine.tags

    async def thin(self, name: VolumeName, rules: RetentionRules, *, dry_run: bool) -> Thinned:
        """Raises HutchError `volume_unknown`; a keep list is replaced as a whole or not at all."""
        record, _ = await self._leases.read(name)
        volume = record.identity(name)
        for attempt in range(_TRIES):
            old, tag = await self._keeping.read(volume)
            fresh, dropped = await self._decided(volume, record.hints, old, rules)
            told = Thinned(str(name), tuple(each.number for each in fresh.kept), dropped, dry_run)
            if dry_run or fresh == old:
                return told
            try:
                await self._keeping.replace(volume, fresh, tag)
            except ConflictError:
                if attempt == _TRIES - 1:
                    raise
            else:
                return told
        raise AssertionError

    async def _decided(
        self, volume: Identity, hints: Hints, old: KeepList, rules: RetentionRules
    ) -> tuple[KeepList, tuple[int, ...]]:
        """The new list, and the snapshots that go with it."""
        until = old.until
        judged = {each.number: each for each in old.kept}
        commits = set(judged)
        limit = await store_now(self._store) - timedelta(seconds=rules.keep_all_s)
        young = {
            each.number for each in old.kept if each.created_at > limit
        }  # judged early, as history was full
        async for each, kind in self._older(volume, hints, old, limit):
            until = each.number
            judged[each.number] = each
            commits |= {each.number} if kind == "commit" else set()
        numbers = chosen([judged[number] for number in sorted(commits - young)], rules) | young
        # What was let go never comes back, also where a tag or a marker came in time to keep it: a collection
        # that began before that tag may be under way (invariant 18).
        numbers |= await self._protected(volume) & judged.keys()
        if newest := await self._history.newest_header(volume, hints):
            numbers |= {await before_fences(self._history, volume, newest)} & judged.keys()
        kept = tuple(judged[number] for number in sorted(numbers))
        return KeepList(until, kept), tuple(sorted(commits - numbers))

    async def _older(
        self, volume: Identity, hints: Hints, old: KeepList, limit: datetime
    ) -> AsyncGenerator[tuple[Kept, str]]:
        """Each entry that is not judged yet and old enough to be, never the newest one."""
        newest = await self._history.newest_reference(volume, hints)
        time = old.kept[-1].created_at if old.kept else datetime.min.replace(tzinfo=limit.tzinfo)
        prefix = volume.key("log/")
        infos = [info async for info in self._store.list(prefix)]
        for info in infos:
            number = int(info.key.removeprefix(prefix))
            if number <= old.until or newest is None:
                continue
            if number >= newest.number:
                return
            header = await self._history.header(volume, number)
            # Clocks of hosts may be wrong either way. An entry was not made after it was stored, nor before
            # the one that it follows.
            time = max(time, min(datetime.fromisoformat(header["created_at"]), info.modified_at))
            if time > limit:
                return
            yield _kept(header, time), header["kind"]

    async def _protected(self, volume: Identity) -> set[int]:
        numbers = {tag.number for tag in await self._tags.all(volume)}
        return numbers | {marker.number for marker in await self._markers.all(volume) if marker.number}


def _kept(header: Header, time: datetime) -> Kept:
    return Kept(header["number"], time, header["run"], header.get("while_running", False))
