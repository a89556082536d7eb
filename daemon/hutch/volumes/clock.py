"""The two clocks that the engine reads, so that a test may bring its own."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for decisions."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float:
        """Seconds that only rise, also while the machine sleeps."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
