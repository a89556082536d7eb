"""The lease object: taken, renewed, given back. See docs/volume-format.md, "The lease"."""

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

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
)
from hutch.volumes.holders import Holder, this_process
from hutch.volumes.names import VolumeName
from hutch.volumes.packs import digest
from hutch.volumes.state import NO_HINTS, Hints, Reference, State
from hutch.volumes.store import Condition, ObjectStore
from hutch.volumes.threads import first_error

TTL_S = 60.0
_RENEWALS = 3  # in the time that a lease lasts
_MARGIN_S = 5.0  # a contender waits longer than the holder believes to have
_ASK_AGAIN_S = 0.5
_RELEASE_S = 10.0  # a store that is away must not hold up the end of a run; the lease runs out by itself


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The lease object's content. `holder` None: free."""

    volume: str
    token: int
    holder: str | None
    nonce: str
    process: Holder | None
    ttl_s: float
    acquired_at: datetime
    expires_at: datetime
    hints: Hints = NO_HINTS


class Lease:
    """The right to write one volume, renewed until its `async with` ends. `lost`: it was taken over."""

    def __init__(
        self, name: VolumeName, record: LeaseRecord, tag: str, renewed_at: float, *, was_left: bool
    ) -> None:
        self.name = name
        self.record = record
        self.renewed_at = renewed_at  # on the holder's monotonic clock
        self.was_left = was_left  # by a holder that had not given it back
        self.in_doubt = False  # an entry put under it may still arrive (invariant 5)
        self.lost = anyio.Event()
        self._tag = tag
        self._turn = (
            anyio.Lock()
        )  # one write of the lease object at a time, each with the tag of the one before

    @property
    def holder(self) -> str:
        return self.record.holder or ""

    @property
    def token(self) -> int:
        return self.record.token

    def note(self, state: State) -> None:
        """Let the next write of the lease tell readers where the newest entry and checkpoint are."""
        self.record = replace(self.record, hints=Hints(state.reference, state.checkpoint))

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
        self._seen: dict[VolumeName, tuple[str, float]] = {}  # a nonce, and since when it has not changed

    async def read(self, name: VolumeName) -> tuple[LeaseRecord, str]:
        """The lease and its tag. Raises HutchError `volume_unknown`: this answer alone means no volume."""
        try:
            data, tag = await self._store.get(lease_key(name))
        except NotFoundError:
            raise HutchError(
                "volume_unknown", f"there is no volume '{name}'", "see: hutch volume ls"
            ) from None
        record = decoded(data, name)
        nonce, since = self._seen.get(name, ("", 0.0))
        self._seen[name] = (record.nonce, since if nonce == record.nonce else self._clock.monotonic())
        return record, tag

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
            old, condition = await self.read(name)
        except HutchError as error:
            if error.code != "volume_unknown" or not create:
                raise
            old, condition = None, "absent"
        if old and old.holder is not None and not self._may_replace(name, old):
            raise LeaseHeldError(name, old.holder, f"{old.expires_at:%H:%M:%SZ}")
        now, asked_at = self._clock.now(), self._clock.monotonic()
        record = LeaseRecord(
            volume=old.volume if old else secrets.token_hex(16),
            token=old.token + 1 if old else 1,  # invariant 3
            holder=holder,
            nonce=secrets.token_hex(16),
            process=this_process(),
            ttl_s=self._ttl_s,
            acquired_at=now,
            expires_at=now + timedelta(seconds=self._ttl_s),
            hints=old.hints if old else NO_HINTS,
        )
        try:
            tag = await self._put(name, record, condition)
        except ConflictError:
            taken, _ = await self.read(name)
            raise LeaseHeldError(name, taken.holder or "another", f"{taken.expires_at:%H:%M:%SZ}") from None
        return Lease(name, record, tag, asked_at, was_left=old is not None and old.holder is not None)

    def _may_replace(self, name: VolumeName, old: LeaseRecord) -> bool:
        """Whether its holder has had its time. Being wrong costs the holder its lease, never a commit."""
        if old.process and old.process.is_known_dead:
            return True
        _, since = self._seen[name]
        if self._clock.monotonic() - since > old.ttl_s + _MARGIN_S:
            return True
        return self._clock.now() > old.expires_at + timedelta(seconds=old.ttl_s)

    async def _keep(self, lease: Lease) -> None:
        """Renew until cancelled, or until the lease is lost. A store that is away is asked again."""
        while not lease.lost.is_set():
            await anyio.sleep(self._ttl_s / _RENEWALS)
            try:
                await self.renew(lease)
            except (StoreError, LeaseLostError):
                continue

    async def _give_back(self, lease: Lease) -> None:
        if lease.lost.is_set() or lease.in_doubt:
            return
        free = replace(
            lease.record, holder=None, process=None, nonce=secrets.token_hex(16), expires_at=self._clock.now()
        )
        try:
            await self._replace(lease, free)
        except (StoreError, LeaseLostError):
            return  # it runs out by itself

    async def _replace(self, lease: Lease, record: LeaseRecord) -> None:
        async with lease._turn:
            fresh = replace(record, hints=lease.record.hints)
            try:
                lease._tag = await self._put(lease.name, fresh, lease._tag)
            except ConflictError:
                lease.lost.set()
                raise LeaseLostError(lease.name) from None
            lease.record = replace(fresh, hints=lease.record.hints)

    async def _put(self, name: VolumeName, record: LeaseRecord, condition: Condition) -> str:
        """Raises ConflictError only if it is certain that our record does not stand there."""
        try:
            return await self._store.put(lease_key(name), encoded(record), if_match=condition)
        except StoreError:
            # The answer may have been lost on its way, and a retry then meets our own write.
            data, tag = await self._store.get(lease_key(name))
            if decoded(data, name).nonce == record.nonce:
                return tag
            raise


def lease_key(name: VolumeName) -> str:
    """The lease's key in the store."""
    return f"leases/{name.full}"


def encoded(record: LeaseRecord) -> bytes:
    """Two lines: JSON, and its hash."""
    fields: dict[str, Any] = {"format": 1} | asdict(record)
    process = fields.pop("process") or {}
    for key in ("host", "boot", "pid", "pid_started"):
        fields[key] = process.get(key)
    for key in ("acquired_at", "expires_at"):
        fields[key] = fields[key].isoformat()
    del fields["hints"]
    for key, reference in record.hints._asdict().items():
        fields[key] = reference and reference._asdict()
    line = json.dumps(fields).encode()
    return b"%s\n%s\n" % (line, digest(line).encode())


def decoded(data: bytes, name: VolumeName) -> LeaseRecord:
    """Raises DamagedError."""
    where = f"the lease of volume '{name}'"
    line, _, rest = data.partition(b"\n")
    if rest != digest(line).encode() + b"\n":
        raise DamagedError(where, "it does not have its hash")
    try:
        fields = json.loads(line)
        if fields["format"] != 1:
            raise DamagedError(where, f"its format is version {fields['format']}, this program knows 1")
        process = None
        if fields["pid"] is not None:
            process = Holder(fields["host"], fields["boot"], fields["pid"], fields["pid_started"])
        return LeaseRecord(
            volume=fields["volume"],
            token=fields["token"],
            holder=fields["holder"],
            nonce=fields["nonce"],
            process=process,
            ttl_s=fields["ttl_s"],
            acquired_at=datetime.fromisoformat(fields["acquired_at"]),
            expires_at=datetime.fromisoformat(fields["expires_at"]),
            hints=Hints(*(Reference(**fields[key]) if fields[key] else None for key in Hints._fields)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError(where, "it cannot be read") from error
