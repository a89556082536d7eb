"""What a started daemon does with what its predecessor left: end it, keep its work, say so."""

import logging
import shutil
import time
from dataclasses import replace

from hutch.runs.rooms import Rooms
from hutch.state import Run, Session

logger = logging.getLogger(__name__)

_REASON = "the daemon ended during this run"


async def recover(rooms: Rooms) -> None:
    """Reap what still runs, commit what it wrote, and bring every record to its end. Idempotent.

    Processes end before their volumes are compared, as on the path of a run.
    """
    lost = await rooms.state.unfinished_runs()
    open_sessions = [s for s in await rooms.state.sessions(_ALL) if s.status == "running"]
    for run in lost:
        await _reap(rooms, run.method, run.id)
    for session in open_sessions:
        if session.kind == "sandbox":
            await _reap(rooms, session.method, session.id)
    for left in rooms.private.iterdir():
        shutil.rmtree(left, ignore_errors=True)
    for kept in await rooms.volumes.recover():
        logger.warning(
            "volume=%s recovered snapshot=%s conflict=%s problem=%s",
            kept.name,
            kept.snapshot,
            kept.conflict,
            kept.problem,
        )
    for run in lost:
        await rooms.state.put_run(_lost(rooms, run))
    for session in open_sessions:
        await rooms.state.put_session(_interrupted(session))


_ALL = 1_000_000


async def _reap(rooms: Rooms, method: str, name: str) -> None:
    launcher = rooms.launchers.get(method)
    if launcher is None:
        logger.warning("run=%s cannot be reaped: method %s is not configured any more", name, method)
    elif await launcher.reap(name):
        logger.warning("run=%s: ended what was left of it", name)


def _lost(rooms: Rooms, run: Run) -> Run:
    folder = rooms.logs / run.id
    sizes = {
        name: path.stat().st_size if (path := folder / name).exists() else 0 for name in ("stdout", "stderr")
    }
    return replace(
        run,
        status="lost",
        reason=_REASON,
        ended_at=time.time(),
        stdout_bytes=sizes["stdout"],
        stderr_bytes=sizes["stderr"],
    )


def _interrupted(session: Session) -> Session:
    if session.kind == "sandbox":
        return replace(session, status="lost", updated_at=time.time(), error=_REASON)
    error = "the daemon ended during its turn; its next prompt resumes the conversation"
    return replace(session, status="idle", updated_at=time.time(), error=error)
