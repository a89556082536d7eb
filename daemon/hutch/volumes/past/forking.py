"""Forks: volumes that begin at a snapshot of another one. No content is copied."""

import secrets
from contextlib import suppress

from hutch.errors import HutchError
from hutch.volumes.clock import Clock
from hutch.volumes.failures import StoreError
from hutch.volumes.lease.leases import Leases
from hutch.volumes.log.lines import sealed_line
from hutch.volumes.log.state import ForkPoint
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.past.keeping import Keeping
from hutch.volumes.stores.protocol import ObjectStore

FORKS = "forks/"
_LONGEST_S = 43_200.0  # from a marker to its fork: half of what a marker without one is left alone


def marker_key(fork_id: str) -> str:
    """Below the folder of the volume that the fork stands on."""
    return f"{FORKS}{fork_id}"


class Forking:
    """Makes volumes that begin where others are."""

    def __init__(self, store: ObjectStore, leases: Leases, keeping: Keeping, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._leases = leases
        self._keeping = keeping

    async def begin(self, point: ForkPoint | None, to: VolumeName) -> Identity:
        """A new volume that begins at `point`, or empty: two writes, however large it is.

        Its first commit puts the entry that tells the same as its lease (docs/volume-format.md, "Fork").

        Raises:
            HutchError: `volume_exists`, `snapshot_unknown`.
        """
        fork = Identity(to, secrets.token_hex(16))
        if point is None:
            await self._leases.create(fork, None)
            return fork
        key = point.volume.key(marker_key(fork.id))
        marker = sealed_line({"volume": fork.path, "number": point.number})
        began_s = self._clock.monotonic()
        await self._store.put(key, marker)  # invariant 11
        try:
            await self._keeping.prove(point.volume, point.number)
            await self._leases.create(fork, point)
            if self._clock.monotonic() - began_s > _LONGEST_S:  # the marker may be taken for a dead one's
                await self._store.put(key, marker)
                await self._keeping.prove(point.volume, point.number)
        except StoreError:  # the lease may yet arrive, so the marker stays; garbage collection judges it
            raise
        except HutchError:
            with suppress(StoreError):
                await self._store.delete(key)
            raise
        return fork
