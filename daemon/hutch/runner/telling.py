"""A run that tells what happens to it, as events of its job."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from hutch.errors import HutchError
from hutch.jobs import Connected, Event, Failure, Final, JobJournal, Noted, Used
from hutch.runs.path.live import LiveRun
from hutch.state import Run

_BETWEEN_S = 0.2  # between two events of what an agent does, which may do something else at every moment
_LOOK_S = 1.0  # between two looks at what changes without anybody's doing: sums, and what the store lacks


@dataclass(slots=True)
class Numbered:
    """Gives events their numbers and times, and has each written as one line."""

    write: Callable[[bytes], None]
    _n: int = 0

    def __call__(self, event: Event) -> None:
        self._n += 1
        told = event.model_copy(update={"n": self._n, "at": time.time()})
        # What is a row of the database has all its columns, or it could not be read back
        is_row = isinstance(event, Connected | Used)
        self.write(told.model_dump_json(exclude_none=not is_row).encode() + b"\n")


@dataclass(slots=True)
class TellingRun(LiveRun):
    """Each change of its record is an event, and each note."""

    journal: JobJournal = field(kw_only=True)
    _does: str = ""  # what is still to be told
    _does_at: float = -math.inf  # monotonic

    # LiveRun by its name: a slotted dataclass is made anew, and `super()` would look in the first one

    def does(self, what: str) -> None:
        self._does = what
        if time.monotonic() >= self._does_at + _BETWEEN_S:
            self._tell_does()

    def _tell_does(self) -> None:
        if what := self._does:
            self._does_at = time.monotonic()
            LiveRun.does(self, what)

    def say(self, note: str) -> None:
        self._does = ""
        if note != self.note:
            LiveRun.say(self, note)
            self.journal.tell(Noted(note=note))

    def change(self, **values: Any) -> Run:
        record = LiveRun.change(self, **values)
        self.tell()
        return record

    def announce_end(self) -> None:
        if not self.ended.is_set():
            self.journal.tell(Final(error=failure(self.error) if self.error else None))
        LiveRun.announce_end(self)

    def tell(self) -> None:
        """Tell the record as it stands, if that is news."""
        logged = () if self.record.is_ended else ("stdout_bytes", "stderr_bytes", "dropped_bytes")
        self.journal.tell_run(self.view(), but_for=logged)

    async def keep_telling(self) -> None:
        while True:
            await anyio.sleep(_LOOK_S)
            self._tell_does()
            self.tell()


def failure(error: HutchError) -> Failure:
    """Return an error as an event has it."""
    return Failure(code=error.code, message=error.message, hint=error.hint)
