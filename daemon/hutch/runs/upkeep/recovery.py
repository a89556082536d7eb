"""What a started daemon does with what its predecessor left: end it, keep its work, say so."""

import logging
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import anyio
from anyio import to_thread

from hutch.jobs import JobFolder
from hutch.runs.path.workspaces import commit_left
from hutch.runs.rooms import Rooms
from hutch.runs.upkeep.former import former_launchers, note_methods
from hutch.runs.upkeep.leftovers import end_left_jobs, held_by_jobs
from hutch.state import Run, Session
from hutch_launchers.launcher import Launcher, LauncherError, Sweeps

logger = logging.getLogger(__name__)

_ALL = 1_000_000
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0  # between two attempts
_REASON = "the daemon ended during this run"


async def recover(rooms: Rooms) -> bool:
    """Reap what still runs, commit what it wrote, and bring every record to its end. Idempotent.

    What processes of their own take is left to them, and to `Runners.adopt`.

    Processes end before their volumes are compared, as on the path of a run. Returns whether every volume
    is safe in the store; one that is not stays in its folder, for `recover_rest`.
    """
    noted, methods = rooms.config.daemon.state / "methods.json", rooms.config.methods
    launchers = [rooms.launchers, former_launchers(noted, methods)]
    folders = JobFolder.all(rooms.config.daemon.state)
    apart = {folder.run_id: folder for folder in folders if folder.is_of_use}
    unfinished = await rooms.state.unfinished_runs()
    lost = [run for run in unfinished if run.id not in apart]
    followed = {run.session_id for run in unfinished if run.id in apart}
    running = [s for s in await rooms.state.sessions(_ALL) if s.status == "running"]
    open_sessions = [session for session in running if session.id not in followed]
    dead = [run for run in unfinished if run.id in apart and not apart[run.id].is_taken]
    for run in (*lost, *dead):
        await _reap(launchers, run.method, run.id)
    for session in open_sessions:
        if session.kind == "sandbox":
            await _reap(launchers, session.method, session.id)
    await _sweep(launchers)
    await end_left_jobs(rooms.config.daemon.state, rooms.private, rooms.logs)
    held = held_by_jobs(rooms.config.daemon.state)
    for left in rooms.private.iterdir():
        if left.name not in held:
            shutil.rmtree(left, ignore_errors=True)
    await to_thread.run_sync(rooms.placeholders.sweep)
    await to_thread.run_sync(rooms.reviews.recover, held)
    agents = {session.id for session in await rooms.state.sessions(_ALL) if session.kind == "agent"}
    await to_thread.run_sync(commit_left, rooms.worktrees, agents, held)
    waiting = await recover_volumes(rooms)
    for run in lost:
        await rooms.state.put_run(replace(run, **lost_run(rooms, run, waiting, _REASON)))
    for session in open_sessions:
        await rooms.state.put_session(interrupted(session, _REASON))
    note_methods(noted, methods)
    return not waiting


async def recover_rest(rooms: Rooms) -> None:
    """Try again, until every volume that a predecessor left is safe."""
    pause_s = _PAUSE_S
    while True:
        await anyio.sleep(pause_s)
        if not await recover_volumes(rooms):
            return
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def recover_volumes(rooms: Rooms) -> dict[str, str]:
    """Commit what lies in working folders, and note it with the runs that wait. Returns what still waits."""
    waiting: dict[str, str] = {}
    for kept in await rooms.volumes.recover():
        logger.log(
            logging.WARNING if kept.snapshot or kept.conflict or kept.problem else logging.INFO,
            "volume=%s recovered snapshot=%s conflict=%s problem=%s",
            kept.name,
            kept.snapshot,
            kept.conflict,
            kept.problem,
        )
        if kept.problem:
            waiting[kept.name] = kept.problem
    held = held_by_jobs(rooms.config.daemon.state)
    for run in await rooms.state.unsynced_runs():
        if run.id in held:
            continue  # its runner waits for the store
        await rooms.state.put_run(replace(run, unsynced=_of(run.unsynced, waiting)))
    return waiting


def _of(names: Iterable[str], waiting: Mapping[str, str]) -> dict[str, str]:
    return {name: waiting[name] for name in names if name in waiting}


async def _reap(launchers: Iterable[Mapping[str, Launcher]], method: str, name: str) -> None:
    found = [each[method] for each in launchers if method in each]
    if not found:
        logger.warning("run=%s cannot be reaped: method %s is not configured any more", name, method)
    for launcher in found:
        if await launcher.reap(name):
            logger.warning("run=%s: ended what was left of it", name)


async def _sweep(launchers: Iterable[Mapping[str, Launcher]]) -> None:
    for launcher in (launcher for each in launchers for launcher in each.values()):
        if isinstance(launcher, Sweeps):
            try:
                await launcher.sweep_orphans()
            except LauncherError as error:
                logger.warning("method=%s: what is left is not swept: %s", launcher.name, error.message)


def lost_run(rooms: Rooms, run: Run, waiting: Mapping[str, str], why: str) -> dict[str, Any]:
    """Return what the record of a lost run says; `waiting`: volumes that are not safe yet."""
    folder = rooms.logs / run.id
    sizes = {
        name: path.stat().st_size if (path := folder / name).exists() else 0 for name in ("stdout", "stderr")
    }
    return {
        "status": "lost",
        "reason": why,
        "ended_at": time.time(),
        "stdout_bytes": sizes["stdout"],
        "stderr_bytes": sizes["stderr"],
        "unsynced": _of((volume.partition(":")[0] for volume in run.volumes), waiting),
    }


def interrupted(session: Session, why: str) -> Session:
    """Return a session whose process was lost."""
    if session.kind == "sandbox":
        return replace(session, status="lost", updated_at=time.time(), error=why)
    error = f"{why}; its next prompt resumes the conversation"
    return replace(session, status="idle", updated_at=time.time(), error=error)
