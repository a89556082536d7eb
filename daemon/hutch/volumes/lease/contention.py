"""When a lease that somebody holds may be taken over. No clock of a host is believed on its own."""

from datetime import timedelta

from hutch.volumes.clock import Clock
from hutch.volumes.failures import LeaseHeldError
from hutch.volumes.lease.holders import this_process
from hutch.volumes.lease.record import LeaseRecord, lease_key
from hutch.volumes.names import VolumeName
from hutch.volumes.stores.clock import store_now
from hutch.volumes.stores.protocol import ObjectStore

_MARGIN_S = 5.0  # a contender waits longer than the holder believes to have


class Contention:
    """What one process knows of the leases that others hold."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: dict[VolumeName, tuple[str, float]] = {}  # a nonce, and since when it has not changed
        # Volume and token: leases that we may hold in the store, and that nobody here uses any more
        self.left: set[tuple[str, int]] = set()

    def note(self, name: VolumeName, record: LeaseRecord) -> None:
        """Remember since when a lease has been as it is."""
        nonce, since = self._seen.get(name, ("", 0.0))
        self._seen[name] = (record.nonce, since if nonce == record.nonce else self._clock.monotonic())

    async def may_replace(self, name: VolumeName, old: LeaseRecord) -> bool:
        """Whether its holder has had its time. Being wrong costs the holder its lease, never a commit."""
        if old.process and old.process.is_known_dead:
            return True
        if (old.volume, old.token) in self.left and old.process == this_process():
            return True
        if self._wait_s(name, old) < 0:
            return True
        if self._clock.now() <= old.expires_at + timedelta(seconds=old.ttl_s):
            return False
        # Our clock, or the holder's, may be wrong by a day. The store's tells how old the lease really is.
        now = await store_now(self._store)
        async for info in self._store.list(lease_key(name)):
            if info.key == lease_key(name):
                return now - info.modified_at > timedelta(seconds=2 * old.ttl_s)
        return False

    def _wait_s(self, name: VolumeName, old: LeaseRecord) -> float:
        """How long the lease must yet be seen unchanged until it may be taken over."""
        _, since = self._seen[name]
        return old.ttl_s + _MARGIN_S - (self._clock.monotonic() - since)

    def error(self, name: VolumeName, old: LeaseRecord) -> LeaseHeldError:
        """What to tell somebody who may not have the volume now."""
        left_s = self._wait_s(name, old) if self._clock.now() > old.expires_at else None
        return LeaseHeldError(name, old.holder or "another", old.acquired_at, left_s)
