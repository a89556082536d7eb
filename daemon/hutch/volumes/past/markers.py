"""Markers: what says that a snapshot is needed by a fork of it, or by a restore that is under way."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hutch.errors import HutchError
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.lease.leases import Leases
from hutch.volumes.log.lines import opened_line
from hutch.volumes.names import Identity
from hutch.volumes.past.forking import FORKS
from hutch.volumes.stores.protocol import ObjectStore

DAY = timedelta(days=1)  # no fork and no restore takes so long between its marker and what it stands for


@dataclass(frozen=True, slots=True)
class Marker:
    """`by` needs snapshot `number`. `token`: a restore's; None: a fork's."""

    key: str  # in the store
    by: Identity
    number: int
    token: int | None
    modified_at: datetime


class Markers:
    """The markers of all volumes of one store."""

    def __init__(self, store: ObjectStore, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    async def all(self, volume: Identity) -> tuple[Marker, ...]:
        """Raises DamagedError, StoreError."""
        infos = [info async for info in self._store.list(volume.key(FORKS))]
        found = []
        for info in infos:
            try:
                data, _ = await self._store.get(info.key)
            except NotFoundError:  # taken away since
                continue
            where = f"object {info.key!r}"
            fields = opened_line(data, where)
            try:
                by = Identity.parse(fields["volume"])
                marker = Marker(info.key, by, fields["number"], fields.get("token"), info.modified_at)
            except (HutchError, TypeError, KeyError) as error:
                raise DamagedError(where, "it cannot be read") from error
            found.append(marker)
        return tuple(found)

    async def is_dead(self, marker: Marker, now: datetime) -> bool:
        """Whether what it was put for never came to be, or is no more."""
        if now - marker.modified_at < DAY:
            return False
        try:
            record, _ = await self._leases.read_any(marker.by.name)
        except HutchError as error:
            if error.code != "volume_unknown":
                raise
            return not await self._has_objects(marker.by)
        if marker.token is not None:
            return record.volume != marker.by.id or record.holder is None or record.token > marker.token
        if record.volume == marker.by.id and not record.is_purged:
            return False
        return not await self._has_objects(marker.by)

    async def _has_objects(self, volume: Identity) -> bool:
        async for _ in self._store.list(volume.key("")):
            return True
        return False
