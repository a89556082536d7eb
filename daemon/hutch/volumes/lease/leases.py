"""The lease object: taken, renewed, given back. See docs/volume-format.md, "The lease"."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import anyio

from hutch.errors import HutchError
from hutch.volumes.clock import Clock
from hutch.volumes.failures import (
    ConflictError,
    DamagedError,
    LeaseHeldError,
    LeaseLostError,
    NotFoundError,
    StoreError,
    VolumeUnknownError,
)
from hutch.volumes.lease.contention import Contention
from hutch.volumes.lease.record import LeaseRecord, decoded, encoded, following, freed, lease_key
from hutch.volumes.log.state import ForkPoint, Hints, State
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.stores.protocol import Condition, ObjectStore
from hutch.volumes.threads import first_error

TTL_S = 60.0
_RENEWALS = 3  # in the time that a lease lasts
_ASK_AGAIN_S = 0.5
_RELEASE_S = 10.0  # a store that is away must not hold up the end of a run; the lease runs out by itself


class Lease:
    """The right to write one volume, renewed until its `async with` ends. `lost`: it was taken over."""

    def __init__(
        self,
        name: VolumeName,
        record: LeaseRecord,
        tag: str,
        renewed_at: float,
        *,
        was_left: bool,
        has_made: bool,
    ) -> None:
        self.name = name
        self.record = record
        self.renewed_at = renewed_at  # on the holder's monotonic clock
        self.was_left = was_left  # by a holder that had not given it back
        self.has_made = has_made  # there was no such volume before
        self.in_doubt = False  # an entry put under it may still arrive (invariant 5)
        self.lost = anyio.Event()
        self._tag = tag
        # One write of the lease object at a time, each with the tag of the one before
        self._turn = anyio.Lock()

    @property
    def holder(self) -> str:
        return self.record.holder or ""

    @property
    def token(self) -> int:
        return self.record.token

    def note(self, state: State) -> None:
        """Let the next write of the lease tell readers where the newest entry and checkpoint are."""
        self.record = replace(self.record, hints=Hints(state.reference, state.checkpoint))

    def forget_fork(self) -> None:
        """Let the next write of the lease tell that the volume stands on no other any more."""
        self.record = replace(self.record, fork=None)

    def assert_held(self) -> None:
        """Raises LeaseLostError."""
        if self.lost.is_set():
            raise LeaseLostError(self.name)


class Leases:
    """All leases of one store, as one process sees them."""

    def __init__(self, store: ObjectStore, clock: Clock, ttl_s: float = TTL_S) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._contention = Contention(store, clock)

    async def read(self, name: VolumeName) -> tuple[LeaseRecord, str]:
        """The lease and its tag. Raises HutchError `volume_unknown`: this answer alone means no volume."""
        record, tag = await self.read_any(name)
        if record.removed_at is not None:
            told = f"volume '{name}' was removed at {record.removed_at:%Y-%m-%d %H:%M:%SZ}"
            raise VolumeUnknownError(told, f"bring it back with: hutch volume bring-back {name}")
        return record, tag

    async def read_any(self, name: VolumeName) -> tuple[LeaseRecord, str]:
        """The same, also of a volume that was removed."""
        try:
            data, tag = await self._store.get(lease_key(name))
        except NotFoundError:
            raise VolumeUnknownError(f"there is no volume '{name}'") from None
        record = decoded(data, name)
        self._contention.note(name, record)
        return record, tag

    async def create(self, identity: Identity, fork: ForkPoint | None) -> None:
        """Put the lease of a new volume, which nobody holds. Raises HutchError `volume_exists`."""
        name = identity.name
        old: LeaseRecord | None = None
        condition: Condition = "absent"
        while True:
            fresh = replace(
                following(old, None, self._clock.now(), self._ttl_s), volume=identity.id, fork=fork
            )
            try:
                await self._put(name, fresh, condition)
            except ConflictError:
                old, condition = await self.read_any(name)
                if old.removed_at is None:
                    raise HutchError(
                        "volume_exists", f"there is a volume '{name}' already", "choose another name"
                    ) from None
            else:
                return

    async def remove(self, lease: Lease) -> None:
        """Give the lease back as one of a volume that is no more. It stays, and so does its token."""
        now = self._clock.now()
        await self._replace(lease, replace(freed(lease.record, now), removed_at=now))

    async def bring_back(self, name: VolumeName) -> None:
        """Undo a removal. Raises HutchError `volume_unknown`, `volume_exists`."""
        record, tag = await self.read_any(name)
        if record.removed_at is None:
            raise HutchError(
                "volume_exists", f"there is a volume '{name}': it was not removed", "see: hutch volume ls"
            )
        if record.is_purged:
            raise VolumeUnknownError(f"volume '{name}' was removed, and its content was collected since")
        fresh = replace(freed(record, self._clock.now()), token=record.token + 1, removed_at=None)
        try:
            await self._put(name, fresh, tag)
        except ConflictError:
            raise HutchError(
                "volume_exists", f"volume '{name}' was used again just now", "see: hutch volume ls"
            ) from None

    async def purge(self, name: VolumeName, record: LeaseRecord, tag: str) -> None:
        """Make a removal final. Raises ConflictError: it was undone, or the name is in use."""
        await self._put(name, replace(freed(record, self._clock.now()), is_purged=True), tag)

    @asynccontextmanager
    async def held(
        self, name: VolumeName, holder: str, *, create: bool = False, wait_s: float = 0
    ) -> AsyncGenerator[Lease]:
        """Hold the lease, renew it, give it back. Raises `volume_unknown`, LeaseHeldError."""
        lease = await self._take_within(name, holder, create=create, wait_s=wait_s)
        try:
            with first_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._keep, lease)
                    yield lease
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(_RELEASE_S, shield=True):
                await self._give_back(lease)

    async def renew(self, lease: Lease) -> None:
        """Prove that the lease is still ours, and make it last. Raises LeaseLostError, StoreError."""
        lease.assert_held()
        now, asked_at = self._clock.now(), self._clock.monotonic()
        fresh = replace(
            lease.record, nonce=secrets.token_hex(16), expires_at=now + timedelta(seconds=self._ttl_s)
        )
        await self._replace(lease, fresh)
        lease.renewed_at = asked_at

    async def assure(self, lease: Lease) -> None:
        """Renew now if it may have run out: after a pause longer than it lasts. Raises as `renew`."""
        lease.assert_held()
        if self._clock.monotonic() - lease.renewed_at > self._ttl_s:
            await self.renew(lease)

    async def _take_within(self, name: VolumeName, holder: str, *, create: bool, wait_s: float) -> Lease:
        until = self._clock.monotonic() + wait_s
        while True:
            try:
                return await self._take(name, holder, create=create)
            except LeaseHeldError:
                if self._clock.monotonic() >= until:
                    raise
            await anyio.sleep(min(_ASK_AGAIN_S, max(0.01, until - self._clock.monotonic())))

    async def _take(self, name: VolumeName, holder: str, *, create: bool) -> Lease:
        condition: Condition
        try:
            old, condition = await (self.read_any(name) if create else self.read(name))
        except HutchError as error:
            if error.code != "volume_unknown" or not create:
                raise
            old, condition = None, "absent"
        if old and old.holder is not None and not await self._contention.may_replace(name, old):
            raise self._contention.error(name, old)
        asked_at = self._clock.monotonic()
        record = following(old, holder, self._clock.now(), self._ttl_s)
        try:
            tag = await self._put(name, record, condition)
        except ConflictError:
            raise self._contention.error(name, (await self.read(name))[0]) from None
        except BaseException:
            self._contention.left.add((record.volume, record.token))  # it may stand there, or may yet arrive
            raise
        was_left = old is not None and old.holder is not None
        has_made = old is None or old.removed_at is not None
        return Lease(name, record, tag, asked_at, was_left=was_left, has_made=has_made)

    async def _keep(self, lease: Lease) -> None:
        """Renew until cancelled, or until the lease is lost. A store that is away is asked again."""
        while not lease.lost.is_set():
            await anyio.sleep(self._ttl_s / _RENEWALS)
            try:
                await self.renew(lease)
            except (StoreError, LeaseLostError):
                continue

    async def _give_back(self, lease: Lease) -> None:
        if lease.lost.is_set() or lease.record.removed_at is not None:
            return
        self._contention.left.add((lease.record.volume, lease.token))  # until it is known to be free
        if lease.in_doubt:
            return
        try:
            await self._replace(lease, freed(lease.record, self._clock.now()))
        except (StoreError, LeaseLostError):
            return  # it runs out by itself
        self._contention.left.discard((lease.record.volume, lease.token))

    async def _replace(self, lease: Lease, record: LeaseRecord) -> None:
        async with lease._turn:
            fresh = replace(record, hints=lease.record.hints)
            try:
                lease._tag = await self._put_after_own(lease, fresh)
            except ConflictError:
                lease.lost.set()
                raise LeaseLostError(lease.name) from None
            lease.record = replace(fresh, hints=lease.record.hints)

    async def _put_after_own(self, lease: Lease, record: LeaseRecord) -> str:
        """Also after writes of ours that were broken off, or seemed to fail, and took effect all the same."""
        tag = lease._tag
        while True:
            try:
                return await self._put(lease.name, record, tag)
            except ConflictError:
                standing, found = await self._standing(lease.name)
                is_own = (standing.volume, standing.token) == (record.volume, record.token)
                if not is_own or standing.removed_at is not None or found == tag:
                    raise
                tag = found

    async def _standing(self, name: VolumeName) -> tuple[LeaseRecord, str]:
        """The lease as it is after a refusal. Raises ConflictError: there is none that can be read."""
        try:
            return await self.read_any(name)
        except StoreError:
            raise
        except HutchError:
            raise ConflictError(lease_key(name)) from None

    async def _put(self, name: VolumeName, record: LeaseRecord, condition: Condition) -> str:
        """Raises ConflictError only if it is certain that our record does not stand there."""
        try:
            return await self._store.put(lease_key(name), encoded(record), if_match=condition)
        except StoreError as error:
            # The answer may have been lost on its way, and a retry then meets our own write.
            try:
                data, tag = await self._store.get(lease_key(name))
                standing = decoded(data, name)
            except (NotFoundError, DamagedError):  # a new volume's, of which nothing was written; or not ours
                raise error from None
            if standing.nonce == record.nonce:
                return tag
            raise
