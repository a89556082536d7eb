"""Forks: volumes that begin at a snapshot of another one. No content is copied."""

import secrets
from contextlib import suppress

from hutch.errors import HutchError
from hutch.volumes.failures import StoreError
from hutch.volumes.history import History
from hutch.volumes.keeping import Keeping
from hutch.volumes.leases import Leases
from hutch.volumes.lines import sealed_line
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.state import ForkPoint
from hutch.volumes.store import ObjectStore


def marker_key(fork_id: str) -> str:
    """Below the folder of the volume that the fork stands on."""
    return f"forks/{fork_id}"


class Forking:
    """Makes volumes that begin where others are."""

    def __init__(self, store: ObjectStore, history: History, leases: Leases, keeping: Keeping) -> None:
        self._store = store
        self._history = history
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
        await self._store.put(key, sealed_line({"volume": fork.path, "number": point.number}))  # invariant 11
        try:
            await self._keeping.prove(point.volume, point.number)
            await self._leases.create(fork, point)
        except StoreError:  # the lease may yet arrive, so the marker stays; garbage collection judges it
            raise
        except HutchError:
            with suppress(StoreError):
                await self._store.delete(key)
            raise
        return fork
