"""What runs have written is kept for a time, as `[logs]` says, and then let go of; their records stay."""

import logging
import math
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
from anyio import to_thread

from hutch.errors import HutchError
from hutch.jobs import JobFolder
from hutch.runs.rooms import Rooms
from hutch.state import Run

logger = logging.getLogger(__name__)

_EVERY_S = 3600.0
_DAY_S = 86_400.0
_NO_BOUND = (1 << 63) - 1
_YOUNG_S = 3600.0  # as long as somebody may be about to look, no bound of bytes takes a log from him


async def tend_logs(rooms: Rooms) -> None:
    """Let go of what is due, now and every hour."""
    while True:
        try:
            await let_go_of_logs(rooms, time.time())
        except (HutchError, OSError):
            logger.exception("logs that are due could not be let go of")
        await anyio.sleep(_EVERY_S)


async def let_go_of_logs(rooms: Rooms, now: float) -> None:
    """Delete the output of runs that is due by its age or its size, and what is listed of connections.

    A run whose job has a folder is somebody's still. What was deleted and not noted is due again. Raises
    HutchError `state_failed`, OSError.
    """
    said, state = rooms.config.logs, rooms.state
    before = now - said.kept_days * _DAY_S if said.kept_days else -math.inf
    due = await state.logs_to_let_go(before, said.max_bytes or _NO_BOUND, now - _YOUNG_S)
    jobs = {folder.run_id for folder in JobFolder.all(rooms.config.daemon.state)}
    for run_id in due:
        if run_id not in jobs:
            await to_thread.run_sync(_remove, rooms.logs / run_id)
            await state.note_log_let_go(run_id, now)
    await state.forget_connections(before)
    nobodys = await to_thread.run_sync(_older, rooms.logs, before)
    for folder in nobodys - jobs - await state.known_runs() if nobodys else ():
        await to_thread.run_sync(_remove, rooms.logs / folder)
    if due:
        logger.info("logs of %d runs let go of", len(due))


def refuse_let_go(run: Run) -> None:
    """Raise HutchError `log_let_go` for a run that has no log any more."""
    if run.log_let_go_at is not None:
        day = datetime.fromtimestamp(run.log_let_go_at, UTC).date()
        raise HutchError(
            "log_let_go",
            f"the log of run {run.id} was let go of on {day}, as [logs] in the configuration says",
            f"its record stays: hutch show {run.id}",
        )


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _older(logs: Path, before: float) -> set[str]:
    """The folders in which nothing was begun since."""
    return {folder.name for folder in logs.glob("r-*") if folder.stat().st_mtime < before}
