"""What the events of a run come to in the database; reading them again adds nothing."""

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hutch.errors import HutchError
from hutch.jobs import EVENT, Ended, Event, Failure, Final, Noted, Recorded
from hutch.jobs.events import Connected, SessionTold, Used
from hutch.runs.path.live import LiveRun
from hutch.runs.rooms import Rooms
from hutch.runs.runners.sharing import Shared
from hutch.state import Run, Session, UsageRow

logger = logging.getLogger(__name__)

# Not stored at each change
_CHANGING: dict[str, Any] = {"budgets": (), "unsynced": {}, "stdout_bytes": 0, "stderr_bytes": 0}


@dataclass(slots=True)
class Bookkeeping:
    """Takes the events of one run, in their order, and stores what is news."""

    rooms: Rooms
    live: LiveRun
    shared: Shared
    session: Session | None  # as its turn found it
    has_ended: bool = False
    _stored: Run | None = None
    _was_final: bool = False  # an earlier daemon has stored its end
    _held_at: float = 0.0  # since when it is held still, monotonic; 0: it is not
    _connections: int = 0  # the event of the last connection that is stored

    async def look(self) -> None:
        """See what an earlier daemon has stored of it."""
        state = self.rooms.state
        self._stored = await state.run(self.live.id)
        self._was_final = self._stored is not None and self._stored.is_ended
        self._connections = await state.last_event(self.live.id)
        await self.shared.look()

    async def take(self, line: bytes) -> None:
        """Take one line. What it tells in vain, for want of a disk or of a newer version, is logged."""
        try:
            event = EVENT.validate_json(line)
        except ValidationError as error:
            logger.warning("run=%s tells what is not understood: %s", self.live.id, error.errors()[0]["msg"])
            return
        try:
            await self._take(event)
        except HutchError as error:
            logger.warning("run=%s what it told is not stored: %s", self.live.id, error.message)

    async def _take(self, event: Event) -> None:
        match event:
            case Noted():
                self.live.say(event.note)
                self.live.noted_at = event.at
            case Recorded():
                self._keep_time(event)
                await self._record(event.run)
            case SessionTold():
                self.session = event.session
            case Connected():
                await self._connection(event)
            case Used():
                await self._charge(event.usage)
            case Final():
                await self._end(event.error)
            case Ended():
                self.has_ended = True
            case _:  # of no use here
                return

    async def _charge(self, row: UsageRow) -> None:
        if await self.shared.charge(row):  # alerts are read off records
            await self.rooms.state.put_run(self.live.view())

    def measure(self) -> None:
        """Look how much it has written by now."""
        if not self.live.record.is_ended:
            folder = self.rooms.logs / self.live.id
            self.live.change(stdout_bytes=_size(folder / "stdout"), stderr_bytes=_size(folder / "stderr"))

    def _keep_time(self, event: Recorded) -> None:
        """Know when its time began to run, by its own clock; while it is held still, it does not."""
        live, at = self.live, time.monotonic() - (time.time() - event.at)
        if event.run.status == "suspended":
            self._held_at = self._held_at or at
        elif event.run.status == "running":
            live.began_at = (live.began_at or at) + (at - self._held_at if self._held_at else 0)
            self._held_at = 0.0

    async def _record(self, run: Run) -> None:
        if self._stored is not None and self._stored.is_ended:
            if not run.is_ended:
                return  # an earlier daemon has stored what followed
            # What comes after its end is that the store took what had to wait
            run = replace(self._stored, unsynced=run.unsynced, snapshots=run.snapshots, changed=run.changed)
        self.live.record = run
        if run.status in ("running", "suspended") and not self.live.started.is_set():
            self.live.started.set()
        is_final = run.is_ended and not self.live.ended.is_set() and not self._was_final
        if not is_final and self._is_news(run):  # what is final is stored with its session
            self._stored = run
            await self.rooms.state.put_run(self.live.view())

    def _is_news(self, run: Run) -> bool:
        if self._stored is None or run.is_ended:
            return run != self._stored
        return replace(run, **_CHANGING) != replace(self._stored, **_CHANGING)

    async def _connection(self, event: Connected) -> None:
        if event.n > self._connections:
            await self.shared.pass_bytes(replace(event.connection, event=event.n))
            self._connections = event.n

    async def _end(self, error: Failure | None) -> None:
        """Store its record and its session, and tell everybody."""
        live = self.live
        if error is not None:
            live.error = HutchError(error.code, error.message, error.hint)
        if not live.record.is_ended:  # refused before it had a plan
            assert live.error is not None
            why = f"{live.error.code}: {live.error.message}"
            live.change(status="failed", reason=why, ended_at=time.time())
            if self.session is not None:
                self.session = replace(self.session, status="failed", updated_at=time.time(), error=why)
        if not self._was_final:
            live.change(**live.spent())
            live.purse = None  # its record has all
            try:
                await self.rooms.state.put_run(live.record)
                if self.session is not None:
                    await self.rooms.state.put_session(self.session)
            except HutchError:
                logger.exception("run=%s ended, and its record could not be stored", live.id)
            self._stored = live.record
        live.announce_end()
        logger.info("run=%s ends status=%s exit_code=%s", live.id, live.record.status, live.record.exit_code)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - as often as there is news
    except FileNotFoundError:
        return 0
