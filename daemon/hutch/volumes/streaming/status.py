"""What a stream tells of itself: how far the store is behind the working folder, and what is in its way."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """As it stands now. `behind_since` None: everything that was noticed is durable in the store."""

    files_behind: int = 0
    bytes_behind: int = 0  # as far as they were looked at
    behind_since: datetime | None = None
    snapshot: int | None = None  # the last one that was streamed
    committed_at: datetime | None = None
    commits: int = 0
    problem: str | None = None  # what keeps changes from the store; it is tried again
    is_over_quota: bool = False  # the folder holds more than the volume may: commits are refused
    scan_only: str | None = None  # why changes are found by looking at everything, now and then
    unsteady: tuple[str, ...] = ()  # files whose last whole state is kept until they stand still
    has_ended: bool = False

    @property
    def is_behind(self) -> bool:
        return self.behind_since is not None
