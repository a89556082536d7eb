"""`SandboxService` as the daemon gives it: requests in, records out, every refusal as a ServiceError."""

import base64
from dataclasses import asdict, replace

import anyio
from anyio import to_thread

from hutch.config import OWNER
from hutch.errors import HutchError
from hutch.policy import Wish
from hutch.runs.commands.kept_sessions import KeptSessions
from hutch.runs.commands.tasks import task_of
from hutch.runs.gate.answers import answers
from hutch.runs.groups.groups import Groups
from hutch.runs.groups.keeping import Keeping
from hutch.runs.lookup import find_session
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import read_log
from hutch.runs.path.spending import give, give_more
from hutch.runs.path.waiting import wait_for
from hutch.runs.planning.asking import wish_of
from hutch.runs.planning.time_left import within_time
from hutch.runs.runs import Runs
from hutch.runs.service.granting import Granting
from hutch.runs.service.grouping import Grouping
from hutch.runs.service.left import as_left
from hutch.runs.service.networking import Networking
from hutch.runs.service.reviewing import Reviewing
from hutch.runs.service.wire import run_record, session_record
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.runs.upkeep.logs import refuse_let_go
from hutch.runs.volume_service.service import VolumeService
from hutch.state import Run, Session
from hutch.volumes import RetentionRules
from hutch_mcp_tools.agent_records import AgentRequest, TurnBounds
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.run_records import LogChunk, LogRequest, RunRecord, RunRequest
from hutch_mcp_tools.session_records import SessionPage, SessionRecord, SessionStatus
from hutch_mcp_tools.usage_records import Budget

_MAX_PAGE = 200
_DESTINATIONS = 20  # in one record
_STARTS_WITHIN_S = 10.0  # what is detached; after that its sandbox is still being prepared


class Service(VolumeService, Granting, Reviewing, Networking, Grouping):
    """A principal's one door to the daemon: MCP tools, the CLI and the page stand on it, behind the gate."""

    def __init__(
        self, runs: Runs, agents: AgentSessions, kept: KeptSessions, keeping: Keeping, principal: str
    ) -> None:
        config = runs.rooms.config
        VolumeService.__init__(
            self,
            runs.rooms.volumes,
            runs.rooms.volume,
            rules=RetentionRules(**asdict(config.retention)),
            removed_kept_s=config.volumes.removed_kept_s,
        )
        Granting.__init__(self, runs.rooms, principal)
        self._runs = runs
        self._agents = agents
        self._runners = agents.turns.runners
        self._kept = kept
        self._keeping = keeping
        self._groups = Groups(runs, agents)
        self._state = runs.rooms.state

    # Runs ------------------------------------------------------------------
    @answers
    async def run(self, request: RunRequest, wait_s: float, events: Events | None = None) -> RunRecord:
        volumes = await as_left(self._runs, request.volumes, request.args, self._principal)
        request = request.model_copy(update={"volumes": volumes})
        if request.session_id is None or request.script is not None:
            live = await self._start(request)
        else:
            live = await self._start_in_session(request.session_id, request)
        return await self._watch(live, wait_s, events)

    @answers
    async def get_run(self, run_id: str, wait_s: float = 0, events: Events | None = None) -> RunRecord:
        record = await self._runs.find(run_id, self._principal)
        live = self._runs.live(record.id)
        return await self._told(record) if live is None else await self._watch(live, wait_s, events)

    @answers
    async def list_runs(
        self, limit: int = 20, session_id: str | None = None, *, live: bool = False
    ) -> list[RunRecord]:
        limit = max(1, min(limit, _MAX_PAGE))
        if session_id is not None:
            session_id = (await self._session(session_id)).id
        if live:
            at_work = self._runs.at_work(self._principal)
            found = [run for run in at_work if session_id in (None, run.session_id)]
        else:
            stored = await self._state.runs(limit, session_id, principal=self._seen)
            found = [now.view() if (now := self._runs.live(run.id)) else run for run in stored]
        found = [replace(run, result=None) for run in found]
        return [await self._told(run) for run in found[:limit]]

    @answers
    async def read_log(self, request: LogRequest) -> LogChunk:
        record = await self._runs.find(request.run_id, self._principal)
        refuse_let_go(record)
        data, end = read_log(self._rooms.logs / record.id / request.stream, request.start, request.limit)
        return LogChunk(data_base64=_base64(data), next=request.start + len(data), end=end)

    @answers
    async def stop_run(self, run_id: str, grace_s: float | None = None) -> RunRecord:
        record = await self._runs.find(run_id, self._principal)
        return await self._told(await self._runs.stop(record.id, "stopped on request", grace_s))

    @answers
    async def suspend_run(
        self, run_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> RunRecord:
        record = await self._runs.find(run_id, self._principal)
        session = await self._state.session(record.session_id) if record.session_id else None
        if session and session.kind == "sandbox":
            raise HutchError(
                "session_invalid",
                f"run {record.id} shares its sandbox with all of session {session.id}",
                f"suspend that: hutch suspend {session.id}",
            )
        if (live := self._runs.live(record.id)) is not None:
            await give_more(live, budget)
        await self._runs.suspend(record, suspended=suspended)
        return await self._told(await self._runs.find(record.id, self._principal))

    # Sessions ----------------------------------------------------------------

    @answers
    async def start_agent(
        self, request: AgentRequest, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        if request.volume:
            left = await as_left(self._runs, [request.volume], request.args, self._principal)
            request = request.model_copy(update={"volume": left[0]})
        session = await self._agents.start(request, self._principal)
        return await self._watch_session(session, wait_s, events)

    @answers
    async def send_to_agent(
        self,
        session_id: str,
        message: str,
        wait_s: float = 0,
        events: Events | None = None,
        bounds: TurnBounds | None = None,
    ) -> SessionRecord:
        session = await self._session(session_id)
        session = await self._agents.send(session, message, bounds or TurnBounds())
        return await self._watch_session(session, wait_s, events)

    @answers
    async def get_session(
        self, session_id: str, wait_s: float = 0, events: Events | None = None
    ) -> SessionRecord:
        return await self._watch_session(await self._session(session_id), wait_s, events)

    @answers
    async def list_sessions(
        self, status: SessionStatus | None = None, limit: int = 20, cursor: str | None = None
    ) -> SessionPage:
        limit = max(1, min(limit, _MAX_PAGE))
        found = await self._state.sessions(limit + 1, status, _before(cursor), principal=self._seen)
        page = found[:limit]
        more = f"{page[-1].updated_at!r}~{page[-1].id}" if len(found) > limit else None
        return SessionPage(sessions=[await self._record(session) for session in page], cursor=more)

    @answers
    async def suspend_session(
        self, session_id: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> SessionRecord:
        session = await self._session(session_id)
        if live := self._agents.turns.of(session.id):
            await give_more(live, budget)
            await self._runs.suspend(live.record, suspended=suspended)
        else:
            give(self._kept.purse_of(session.id), budget)
            await self._kept.suspend(session, suspended=suspended)
        return await self._record(session)

    @answers
    async def stop_session(
        self, session_id: str, *, remove: bool = False, grace_s: float | None = None
    ) -> SessionRecord:
        session = await self._session(session_id)
        await self._agents.turns.stop(session.id, "its session was stopped", grace_s)
        await self._kept.stop(session.id, "its session was stopped")
        record = await self._record(await self._agents.ended(session.id))
        if remove:
            await self._state.forget_session(session.id)
            await to_thread.run_sync(self._rooms.worktrees.remove, session.id)
        return record

    # ---------------------------------------------------------------------------

    @property
    def _seen(self) -> str | None:
        """Whose runs and sessions are listed; None: everybody's."""
        return None if self._principal == OWNER else self._principal

    async def _session(self, text: str) -> Session:
        return await find_session(self._state, text, self._principal)

    async def _start(self, request: RunRequest) -> LiveRun:
        task = await task_of(self._rooms, request, self._principal)
        plan = await within_time(self._rooms, task.plan, self._principal, None)
        live = await self._runs.admit(plan, task.command, self._principal)
        if request.detach and self._runners is not None:
            self._runs.tasks.start_soon(self._runners.take_task, live, plan, request)
            with anyio.move_on_after(_STARTS_WITHIN_S):
                await live.started.wait()
        else:
            self._runs.tasks.start_soon(self._runs.follow, live, plan, task.work(live, plan))
        return live

    async def _start_in_session(self, session_id: str, request: RunRequest) -> LiveRun:
        if request.detach:
            raise HutchError(
                "session_invalid",
                "a kept sandbox ends with the daemon, and so does what runs in it",
                "leave out --detach, or the session",
            )
        wish, stdin = wish_of(request), request.stdin
        if session_id != "new":
            return await self._kept.run_in(await self._session(session_id), wish, stdin)
        session = await self._kept.open(wish, self._principal)
        return await self._kept.run_in(session, _for_opened(wish), stdin)

    async def _watch(self, live: LiveRun, wait_s: float, events: Events | None) -> RunRecord:
        await wait_for(live, self._rooms.logs / live.id, wait_s, events)
        if live.error is not None and live.record.duration_s is None:
            raise live.error  # no sandbox was given: that is an exception, not a result
        return await self._told(live.view())

    async def _told(self, run: Run) -> RunRecord:
        live = self._runs.live(run.id)
        if not _has_network(run):
            return run_record(run, live, {}, [], [])
        refused, used = await self._state.refused(run), await self._state.usage(run_id=run.id)
        return run_record(run, live, refused, used, await self._state.traffic(run, _DESTINATIONS))

    async def _watch_session(self, session: Session, wait_s: float, events: Events | None) -> SessionRecord:
        await self._agents.turns.wait(session.id, wait_s, events)
        return await self._record(session)

    async def _record(self, session: Session) -> SessionRecord:
        await self._agents.turns.settled(session.id)
        session = await self._state.session(session.id) or session
        live = self._agents.turns.of(session.id)
        if self._kept.is_suspended(session.id) or (live and live.is_suspended):
            session = replace(session, status="suspended")
        totals, used = await self._state.totals(session.id), await self._state.usage(session_id=session.id)
        traffic = await self._state.traffic(session, _DESTINATIONS)
        attempt = await self._state.attempt(session.id)
        return session_record(session, totals, used, traffic, live, attempt)


def _has_network(run: Run) -> bool:
    """Whether it had a door, by which something could be refused."""
    granted = run.policy.get("granted")
    return not isinstance(granted, dict) or bool(granted.get("network", True))


def _for_opened(wish: Wish) -> Wish:
    """Return what remains to be asked of a sandbox that was opened for this wish."""
    return Wish(
        command=wish.command,
        cwd=wish.cwd,
        env=wish.env,
        wall_s=wish.wall_s,
        output_bytes=wish.output_bytes,
    )


def _before(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    at, _, session_id = cursor.partition("~")
    try:
        return float(at), session_id
    except ValueError as error:
        raise HutchError(
            "cursor_invalid", "the cursor is not one of ours", "leave it out to start again"
        ) from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
