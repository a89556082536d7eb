"""What the lease object says, and how it lies in the store. See docs/volume-format.md, "The lease"."""

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hutch.volumes.failures import DamagedError
from hutch.volumes.lease.holders import Holder, this_process
from hutch.volumes.log.lines import opened_line, sealed_line
from hutch.volumes.log.state import NO_HINTS, ForkPoint, Hints, Reference, State
from hutch.volumes.names import Identity, VolumeName


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The lease object's content. `holder` None: free. `removed_at`: removed, if `is_purged` for good."""

    volume: str
    token: int
    holder: str | None
    nonce: str
    process: Holder | None
    ttl_s: float
    acquired_at: datetime
    expires_at: datetime
    hints: Hints = NO_HINTS
    fork: ForkPoint | None = None
    removed_at: datetime | None = None
    is_purged: bool = False

    def identity(self, name: VolumeName) -> Identity:
        """Which volume the name means."""
        return Identity(name, self.volume)

    def beginning(self, name: VolumeName) -> State:
        """The state before the first entry; a fork's tree is yet to be read."""
        return State(name, self.volume, fork=self.fork)


def lease_key(name: VolumeName) -> str:
    """The lease's key in the store."""
    return f"leases/{name.full}"


def following(old: LeaseRecord | None, holder: str | None, now: datetime, ttl_s: float) -> LeaseRecord:
    """The record of the next holder; after a volume that was removed, of a new volume."""
    fresh = LeaseRecord(
        volume=secrets.token_hex(16),
        token=old.token + 1 if old else 1,  # invariant 3
        holder=holder,
        nonce=secrets.token_hex(16),
        process=this_process() if holder is not None else None,
        ttl_s=ttl_s,
        acquired_at=now,
        expires_at=now + timedelta(seconds=ttl_s),
    )
    if old is None or old.removed_at is not None:
        return fresh
    return replace(fresh, volume=old.volume, hints=old.hints, fork=old.fork)


def freed(record: LeaseRecord, now: datetime) -> LeaseRecord:
    """The same, held by nobody."""
    return replace(record, holder=None, process=None, nonce=secrets.token_hex(16), expires_at=now)


def encoded(record: LeaseRecord) -> bytes:
    """Two lines: JSON, and its hash."""
    process = asdict(record.process) if record.process else {}
    fields: dict[str, Any] = {
        "volume": record.volume,
        "token": record.token,
        "holder": record.holder,
        "nonce": record.nonce,
        "ttl_s": record.ttl_s,
        "acquired_at": record.acquired_at.isoformat(),
        "expires_at": record.expires_at.isoformat(),
        **{key: process.get(key) for key in ("host", "boot", "pid", "pid_started")},
        **{key: reference and reference._asdict() for key, reference in record.hints._asdict().items()},
    }
    if record.fork:
        fields["fork"] = record.fork.told()
    if record.removed_at:
        fields |= {"removed_at": record.removed_at.isoformat(), "purged": record.is_purged}
    return sealed_line(fields)


def decoded(data: bytes, name: VolumeName) -> LeaseRecord:
    """Raises DamagedError."""
    where = f"the lease of volume '{name}'"
    fields = opened_line(data, where)
    try:
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
            fork=ForkPoint.read(fields["fork"]) if "fork" in fields else None,
            removed_at=datetime.fromisoformat(fields["removed_at"]) if "removed_at" in fields else None,
            is_purged=fields.get("purged", False),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedError(where, "it cannot be read") from error
