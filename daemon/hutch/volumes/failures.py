"""What can go wrong with a volume. Codes are stable and listed in docs/errors.md."""

import errno
import os
from datetime import datetime
from pathlib import Path

from hutch.errors import HutchError

_THIN = "thin it out (hutch volume thin {0}, then hutch volume gc {0}), or raise max_history_bytes"
_REACH = "see that the store can be reached and written; nothing was thrown away"


class StoreError(HutchError):
    """The store did not do what was asked; whether the request took effect is unknown."""

    def __init__(self, message: str, code: str = "store_unavailable", hint: str = _REACH) -> None:
        super().__init__(code, message, hint)


class NotFoundError(StoreError):
    """The store answered that the object is not there."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the store has no object {key!r}", "object_missing")
        self.key = key


class ConflictError(StoreError):
    """A conditional write was refused: the object is not (or no longer) what the condition says."""

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key!r} was written by someone else", "object_conflict")
        self.key = key


class DamagedError(HutchError):
    """Stored bytes are not what was written."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            "volume_damaged", f"{what} is damaged: {why}", "restore the object from a backup of the store"
        )


class VolumeUnknownError(HutchError):
    """There is no such volume, or not any more."""

    def __init__(self, message: str, hint: str = "see: hutch volume ls") -> None:
        super().__init__("volume_unknown", message, hint)


class LeaseHeldError(HutchError):
    """Someone else holds the volume. `left_s`: its lease ran out and can be taken over in so many seconds."""

    def __init__(self, name: object, holder: str, since: datetime, left_s: float | None = None) -> None:
        hint = "wait until it has ended"
        if holder.startswith(("run ", "r-", "s-")):  # a run or a kept sandbox, not a moment's work
            hint = f"wait, or end it with: hutch stop {holder.removeprefix('run ')}"
        if left_s is not None:
            hint = f"it is not renewed any more and can be taken over in {max(1, round(left_s))} s"
        super().__init__("volume_held", f"volume '{name}' is held by {holder} since {since:%H:%M:%SZ}", hint)


class LeaseLostError(HutchError):
    """The lease was taken over: this writer can never commit again under it."""

    def __init__(self, name: object, hint: str = "") -> None:
        super().__init__("lease_lost", f"the lease on volume '{name}' was taken over", hint)


class FolderBusyError(HutchError):
    """A folder of the cache is in use, or does not keep still."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("folder_busy", message, hint)


class DiskFullError(HutchError):
    """The disk of the cache has no room."""

    def __init__(self, place: Path, wanted: int, free: int) -> None:
        super().__init__(
            "disk_full",
            f"the disk of '{place}' is full: {wanted} bytes were wanted, {free} are free",
            "free some of it, or put daemon.cache on another disk; nothing was thrown away",
        )


def refused(place: Path, wanted: int, error: OSError) -> HutchError:
    """What to raise where the disk refuses to take something into a place of the cache."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(place, wanted, free_bytes(place))
    return HutchError(
        "folder_failed",
        f"the working folder '{place}' cannot be written: {error.strerror}",
        "see to its disk and its permissions",
    )


def free_bytes(place: Path) -> int:
    """What its disk has left for us."""
    disk = disk_of(place)
    return disk.f_bavail * disk.f_frsize


def disk_of(place: Path) -> os.statvfs_result:
    """The disk of a place that may not be there yet."""
    while not place.exists():
        place = place.parent
    return os.statvfs(place)


class QuotaExceededError(HutchError):
    """A commit would make the volume larger than it may be."""

    def __init__(self, name: object, what: str, wanted: int, limit: int, hint: str = "") -> None:
        super().__init__(
            "quota_exceeded",
            f"volume '{name}' may hold {limit} {what}, and would hold {wanted}",
            hint or f"delete something, or raise max_{what} in [volumes]",
        )
        self.told = (name, what, wanted, limit)

    def kept_in(self, rescue: object) -> "QuotaExceededError":
        """The same, after the work was saved in a volume of its own."""
        name, what, wanted, limit = self.told
        hint = f"what this run changed is in volume '{rescue}'; delete something, or raise max_{what}"
        return QuotaExceededError(name, what, wanted, limit, hint)


class HistoryFullError(QuotaExceededError):
    """What older snapshots take in the store is as much as the volume's history may."""

    def __init__(self, name: object, found: int, limit: int, hint: str = "") -> None:
        HutchError.__init__(
            self,
            "history_full",
            f"the history of volume '{name}' may take {limit} bytes, and takes {found}",
            hint or _THIN.format(name),
        )
        self.told = (name, "history_bytes", found, limit)

    def kept_in(self, rescue: object) -> "HistoryFullError":
        name, _, found, limit = self.told
        hint = f"what this run changed is in volume '{rescue}'; {_THIN.format(name)}"
        return HistoryFullError(name, found, limit, hint)
