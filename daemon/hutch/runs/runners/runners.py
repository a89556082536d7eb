"""Runs that processes of their own take: begun, found again by the next daemon, followed to their end."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio import to_thread
from pydantic import JsonValue

from hutch.config import OWNER, Config
from hutch.errors import HutchError
from hutch.jobs import Granted, Job, JobDoor, JobFolder
from hutch.policy import Plan
from hutch.runs.gate.clients import Clients, new_token
from hutch.runs.path.ending import plain
from hutch.runs.path.live import LiveRun
from hutch.runs.path.workspaces import commit_left
from hutch.runs.runners.following import Following, RunnerDiedError
from hutch.runs.runs import Runs
from hutch.runs.upkeep.leftovers import end_left, held_by_jobs
from hutch.runs.upkeep.recovery import interrupted, lost_run, recover_rest, recover_volumes
from hutch.state import Session
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRequest

logger = logging.getLogger(__name__)

_ENDS_WITHIN_S = 10.0  # a run whose process is dead: its session is free then
_DIED = "the process that took this run was killed"


class RunnerServer(Protocol):
    """Starts processes that take jobs and outlive us."""

    def start(self, folder: Path) -> None:
        """Have a process take the job in `folder`. Returns at once. Raises HutchError `runner_failed`."""


class Runners:
    """Every such run of this daemon."""

    def __init__(self, runs: Runs, clients: Clients, server: RunnerServer) -> None:
        self._runs = runs
        self._clients = clients
        self._rooms = runs.rooms
        self._server = server

    async def take_turn(
        self, live: LiveRun, plan: Plan, session: Session, request: AgentRequest, *, goes_on: bool
    ) -> None:
        """Have a turn taken by a process of its own, and return when it has its end. Raises nothing."""
        asked = _with_fork(request, plan)
        job = Job(version=1, id=live.id, agent=asked, session=session, goes_on=goes_on)
        await self._take(live, plan, job)

    async def take_task(self, live: LiveRun, plan: Plan, request: RunRequest) -> None:
        """The same for a command or a script."""
        await self._take(live, plan, Job(version=1, id=live.id, run=request))

    async def _take(self, live: LiveRun, plan: Plan, asked: Job) -> None:
        folder = JobFolder.of(self._rooms.config.daemon.state, live.id)
        try:
            job = await self._begun(asked, live, plan)
            door = JobDoor(new_token(), plan) if plan.children else None
            if door is not None:
                await to_thread.run_sync(door.write, folder)
            await to_thread.run_sync(folder.write, job)
            following = Following(self._rooms, live, folder, job, door)
            self._server.start(folder.path)
        except (HutchError, OSError) as error:
            await self._fail(live, asked.session, folder, error)
            return
        await self._follow(following)

    async def adopt(self) -> None:
        """Go on with what runners of an earlier daemon are at, or have brought to an end meanwhile.

        Returns when those whose runner lives no more have their end, or soon after if that takes long.
        """
        found: list[Following] = []
        ending: list[LiveRun] = []
        for folder in JobFolder.all(self._rooms.config.daemon.state):
            try:
                job = folder.read()
            except HutchError as error:
                logger.warning("run=%s cannot be followed: %s", folder.run_id, error.message)
                if not folder.is_of_use:  # its record says so by now
                    await end_left(folder, self._rooms.private)
                    await to_thread.run_sync(folder.remove)
                continue
            if job is None or job.record is None:
                continue  # without a daemon
            live = self._runs.enlist(await self._rooms.state.run(folder.run_id) or job.record)
            live.started.set()
            if job.agent is not None and (settings := self._rooms.config.agents.get(job.agent.agent)):
                live.stop.grace_s = settings.stop_grace_s
            if not folder.events.exists() and not folder.is_taken:
                logger.warning("run=%s is begun anew: its runner had not begun", live.id)
                self._server.start(folder.path)
            else:
                logger.info("run=%s is followed on", live.id)
                self._rooms.accounts.wait_for(live.id)
                ending += [] if folder.is_taken else [live]
            found.append(Following(self._rooms, live, folder, job, _door_of(folder)))
        self._follow_all(found)  # not before all are known: what one has under way counts for another
        with anyio.move_on_after(_ENDS_WITHIN_S):
            for live in ending:
                await live.ended.wait()

    def _follow_all(self, found: Sequence[Following]) -> None:
        for following in found:
            self._runs.tasks.start_soon(self._follow, following)

    async def _follow(self, following: Following) -> None:
        live, folder = following.live, following.folder
        try:
            try:
                plan = following.door.plan if following.door else None
                async with self._clients.during(live, plan):
                    await following.run()
            except RunnerDiedError:
                await self._died(following)
        except Exception as error:  # noqa: BLE001 - it ends this run and not the daemon; the next finds the job
            await self._lose_sight(live, plain(error))
            return
        finally:
            self._runs.discharge(live)
        self._runs.tasks.start_soon(to_thread.run_sync, folder.remove)  # nobody has to wait for it

    async def _lose_sight(self, live: LiveRun, error: HutchError) -> None:
        logger.error("run=%s cannot be followed: %s: %s", live.id, error.code, error.message)
        live.error = error
        if not live.ended.is_set():
            with suppress(HutchError):  # its record is the next daemon's then
                why = f"{error.code}: {error.message}"
                await self._rooms.state.put_run(live.end(status="failed", reason=why))
                session = await self._rooms.state.session(live.record.session_id or "")
                if session is not None:
                    await self._rooms.state.put_session(interrupted(session, why))

    async def _died(self, following: Following) -> None:
        """End what is left of a run whose runner was killed, commit what it wrote, and say so."""
        rooms, live, folder = self._rooms, following.live, following.folder
        logger.warning("run=%s %s", live.id, _DIED)
        try:
            async with folder.soon_held(5.0):
                await end_left(folder, rooms.private)
        except (HutchError, FileNotFoundError):  # somebody takes it after all
            return
        await to_thread.run_sync(rooms.placeholders.sweep)
        held = held_by_jobs(rooms.config.daemon.state)
        going_on = {session.id for session in await rooms.state.sessions(1_000_000)}
        await to_thread.run_sync(commit_left, rooms.worktrees, going_on, held)
        waiting = await recover_volumes(rooms)
        if waiting:
            self._runs.tasks.start_soon(recover_rest, rooms)
        if not live.ended.is_set():
            await rooms.state.put_run(live.change(**lost_run(rooms, live.record, waiting, _DIED)))
            session = await rooms.state.session(live.record.session_id or "")
            if session is not None:
                await rooms.state.put_session(interrupted(session, _DIED))
        live.announce_end()

    async def _fail(
        self, live: LiveRun, session: Session | None, folder: JobFolder, error: Exception
    ) -> None:
        """End a run that no process was started for."""
        live.error = refused = plain(error)
        folder.remove()
        why = f"{refused.code}: {refused.message}"
        await self._rooms.state.put_run(live.end(status="failed", reason=why))
        if session is not None:
            await self._rooms.state.put_session(replace(session, status="failed", error=why))
        self._runs.discharge(live)

    async def _begun(self, asked: Job, live: LiveRun, plan: Plan) -> Job:
        """Return a job with what we have decided of it."""
        principal = live.record.principal
        decided = {
            "principal": principal,
            "record": live.record,
            "shares": {} if principal == OWNER else await self._rooms.state.shares_with(principal),
            "granted": Granted(wall_s=plan.limits.wall_s, time_budget=plan.time_budget, budgets=plan.budgets),
            "configuration": _document(self._rooms.config),
        }
        return asked.model_copy(update=decided)


def _door_of(folder: JobFolder) -> JobDoor | None:
    """What its agent may have us begin; nothing where that cannot be known any more."""
    try:
        return JobDoor.read(folder)
    except HutchError as error:
        logger.warning("run=%s its agent is let in no more: %s", folder.run_id, error.message)
        return None


def _with_fork(request: AgentRequest, plan: Plan) -> AgentRequest:
    """The request with its volume as it was granted: the name resolved, and what it is to be made from."""
    volume = plan.volumes[0]
    if volume.source is None:
        return request
    at = f"@{volume.at}" if volume.at else ""
    return request.model_copy(update={"volume": f"{volume.name}={volume.source}{at}", "args": {}})


def _document(config: Config) -> dict[str, JsonValue]:
    """Everything that is configured, and where this daemon has things."""
    tables: dict[str, Any] = dict(config.document)
    places = {name: str(getattr(config.daemon, name)) for name in ("state", "cache", "socket")}
    tables["daemon"] = {**tables.get("daemon", {}), **places}
    tables["storage"] = {**tables.get("storage", {}), "url": config.storage.url}
    return tables
