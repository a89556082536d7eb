"""Which snapshots of a volume may be relied on once its history was thinned out: the keep list.

Whoever protects a snapshot (a fork, a tag, a restore) puts its marker first and reads the keep list after
that; who collects garbage reads the keep list first and the markers after that. So one of the two sees the
other (invariant 18).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hutch.errors import HutchError
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.log.history import entry_key
from hutch.volumes.log.lines import opened_line, sealed_line
from hutch.volumes.names import Identity
from hutch.volumes.stores.protocol import ObjectStore

KEY = "kept"


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that thinning left. `created_at` never goes back from one to the next."""

    number: int
    created_at: datetime
    run: str
    while_running: bool = False


@dataclass(frozen=True, slots=True)
class KeepList:
    """Of the snapshots up to number `until`, only these are kept; all later ones are."""

    until: int = 0
    kept: tuple[Kept, ...] = ()  # by number

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(each.number for each in self.kept)

    def holds(self, number: int) -> bool:
        """Whether a snapshot may be relied on."""
        return number > self.until or number in self.numbers


class Keeping:
    """The keep lists of one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def read(self, volume: Identity) -> tuple[KeepList, str]:
        """The list, and its tag for `replace`. Raises DamagedError, StoreError."""
        where = f"the keep list of volume '{volume.name}'"
        try:
            data, tag = await self._store.get(volume.key(KEY))
        except NotFoundError:
            return KeepList(), "absent"
        fields = opened_line(data, where)
        try:
            if fields["volume"] != volume.id:
                raise DamagedError(where, "it is of another volume")
            kept = (
                Kept(number, datetime.fromisoformat(created_at), run, while_running)
                for number, created_at, run, while_running in fields["kept"]
            )
            return KeepList(fields["until"], tuple(kept)), tag
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(where, "it cannot be read") from error

    async def replace(self, volume: Identity, fresh: KeepList, tag: str) -> None:
        """Decide what is kept from now on. Raises ConflictError: somebody else did."""
        fields = {
            "volume": volume.id,
            "until": fresh.until,
            "kept": [
                [each.number, each.created_at.isoformat(), each.run, each.while_running]
                for each in fresh.kept
            ],
        }
        await self._store.put(volume.key(KEY), sealed_line(fields), if_match=tag)

    async def prove(self, volume: Identity, number: int) -> None:
        """After a marker was put: see that it came in time. Raises HutchError `snapshot_unknown`."""
        keep, tag = await self.read(volume)
        if not keep.holds(number):
            raise thinned_out(volume, number, keep.numbers)
        if tag == "absent":  # history was never thinned out; or the volume was purged, its list at last
            try:
                await self._store.get(volume.key(entry_key(number)))
            except NotFoundError:
                raise thinned_out(volume, number, ()) from None


def thinned_out(volume: Identity, number: int, others: Iterable[int]) -> HutchError:
    """A snapshot that was there once."""
    near = sorted(sorted(others, key=lambda other: abs(other - number))[:3])
    told = ", ".join(str(other) for other in near) or "none"
    return HutchError(
        "snapshot_unknown",
        f"snapshot {number} of volume '{volume.name}' was not kept when its history was thinned out",
        f"kept near it: {told}; see: hutch volume log {volume.name}",
    )
