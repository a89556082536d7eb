"""Turns of agents, from the queue to their end, over any number of retries and lives of the daemon."""

import logging
import math
import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import anyio
from pydantic import ValidationError

from hutch.budgets import Spent
from hutch.budgets.accounts import Key
from hutch.errors import HutchError
from hutch.policy import Plan, shown
from hutch.runs.gate.clients import Clients
from hutch.runs.path.live import LiveRun
from hutch.runs.path.waiting import wait_for
from hutch.runs.planning.group_budget import within_shared
from hutch.runs.rooms import new_id
from hutch.runs.runners.runners import Runners
from hutch.runs.runs import Runs
from hutch.runs.turns.bundles import with_bundles
from hutch.runs.turns.line import Line
from hutch.runs.turns.retrying import is_tried_again, pause_s
from hutch.runs.turns.turns import find_agent, plan_turn, refuse_keyless, work_of
from hutch.state import Run, Session, Turn
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.run_records import RunStatus
from hutch_mcp_tools.session_records import SessionStatus

SLACK_S = 10.0  # for a run that has ended to be written down
_LEAST_S = 1.0  # of a run
_UNREADABLE = HutchError(
    "request_invalid", "an earlier version wrote this turn down in another way", "ask again"
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _AtWork:
    """A turn that is not over, by its newest run."""

    live: LiveRun
    is_over: bool = False
    moved: anyio.Event = field(default_factory=anyio.Event)

    def move(self, live: LiveRun | None) -> None:
        self.is_over, self.live = live is None, live or self.live
        self.moved.set()
        self.moved = anyio.Event()


class Turns:
    """All turns of this daemon that are not over, by their sessions. Methods raise HutchError."""

    def __init__(self, runs: Runs, clients: Clients, runners: Runners | None) -> None:
        """`runners` None: turns are tasks of this process, and end with it."""
        self._runs = runs
        self._clients = clients
        self.runners = runners
        self._rooms = runs.rooms
        self._at: dict[str, _AtWork] = {}
        self._planned: set[str] = set()  # sessions whose turn has no run yet
        self._line = Line(runs.turns_at_work, runs.has_room)
        runs.on_room = self._line.look

    def of(self, session_id: str) -> LiveRun | None:
        """Return the newest run of the turn that a session is at, if any."""
        at = self._at.get(session_id)
        return at.live if at else None

    async def begin(self, session: Session, request: AgentRequest, turn: Turn) -> LiveRun:
        """Plan a turn and put it into the queue, which it leaves at once where there is room.

        Raises what the plan refuses, and HutchError `session_busy`, `busy`, `closing`, `state_failed`.
        """
        with self.held_idle(session.id):
            self._refuse_busy(session.principal)
            agent = find_agent(self._rooms, request.agent)
            whole = await with_bundles(self._rooms.config, request)  # refused here rather than in the queue
            plan = await self._plan(session, whole, turn)
            await refuse_keyless(self._rooms, agent, request.agent, plan)
            await self._rooms.state.put_session(session)
            await self._rooms.state.put_turn(turn)
            live = await self._enlist(turn, plan)
        self._take_up(turn, live, plan)
        return live

    async def go_on(self) -> None:
        """Take up what a predecessor left: who waited waits on, who failed for what passes is tried again."""
        for left in await self._rooms.state.turns():
            turn: Turn | None = left
            run = await self._rooms.state.run(left.run_id)
            if run is not None and run.is_ended:
                turn, run = await self._again(left, run), None
            if turn is None:
                await self._rooms.state.forget_turn(left.session_id)
            elif (live := self._runs.live(turn.run_id)) is not None:
                self._take_up(turn, live, None)
            else:
                self._take_up(turn, self._runs.enlist(run) if run else await self._enlist(turn), None)

    @contextmanager
    def held_idle(self, session_id: str) -> Generator[None]:
        """Have no turn of a session begin for as long as the block. Raises HutchError `session_busy`."""
        self._refuse_at_work(session_id)
        self._planned.add(session_id)
        try:
            yield
        finally:
            self._planned.discard(session_id)

    async def wait(self, session_id: str, wait_s: float, events: Events | None = None) -> None:
        """Return when the turn of a session is over, or after `wait_s` seconds; tell what it writes."""
        with anyio.move_on_after(wait_s):
            while (at := self._at.get(session_id)) is not None and not self._runs.is_closing:
                live = at.live
                await wait_for(live, self._rooms.logs / live.id, math.inf, events)
                while at.live is live and not at.is_over and not self._runs.is_closing:
                    await at.moved.wait()

    async def settled(self, session_id: str) -> None:
        """Return when it is known whether a run that has ended is followed by another; soon."""
        with anyio.move_on_after(SLACK_S):
            while (at := self._at.get(session_id)) is not None and at.live.ended.is_set():
                if at.live.record.unsynced or self._runs.is_closing:
                    return
                await at.moved.wait()

    async def stop(self, session_id: str, reason: str, grace_s: float | None = None) -> None:
        """Ask the turn of a session to end, wherever it is, and wait until it has."""
        if (live := self.of(session_id)) is not None:
            await self._runs.stop(live.id, reason, grace_s)
            await self.wait(session_id, SLACK_S)

    # The way of one turn ------------------------------------------------------------

    def _refuse_busy(self, principal: str) -> None:
        self._runs.refuse_closing()
        most = self._rooms.config.policy.max_queued_turns
        if self._line.waiting(principal) >= most:
            raise HutchError("busy", f"{most} turns wait already", "wait for one to end; see: hutch ps")

    def _refuse_at_work(self, session_id: str) -> None:
        if (live := self.of(session_id)) is not None or session_id in self._planned:
            told = f"session {session_id} is at work" + (f" in run {live.id}" if live else "")
            hint = f"wait for it, or end its turn with: hutch stop {live.id if live else session_id}"
            raise HutchError("session_busy", told, hint)

    async def _enlist(self, turn: Turn, plan: Plan | None = None) -> LiveRun:
        session = await self._session(turn)
        record = Run(
            id=turn.run_id,
            status="queued",
            command=f"{session.agent}: {shown(str(turn.request['prompt']))}",
            method=plan.method if plan else session.method,
            created_at=time.time(),
            session_id=session.id,
            principal=session.principal,
            turn={"retry": len(turn.runs) - 1, "first": turn.runs[0]},
        )
        await self._rooms.state.put_run(record)
        return self._runs.enlist(record)

    def _take_up(self, turn: Turn, live: LiveRun, plan: Plan | None) -> None:
        if (settings := self._rooms.config.agents.get(str(turn.request["agent"]))) is not None:
            live.stop.grace_s = settings.stop_grace_s
        self._at[turn.session_id] = _AtWork(live)
        if live.record.status == "queued" and turn.due_at <= time.time():
            self._line.join(live, turn.asked_at)
        self._runs.tasks.start_soon(self._take, turn, live, plan)

    async def _take(self, turn: Turn, live: LiveRun, plan: Plan | None) -> None:
        """Take a turn to its end, run by run. `plan`: that of the first, if it begins at once."""
        at = self._at[turn.session_id]
        try:
            while True:
                turn = await self._one_run(turn, live, plan)
                following = None if live.stop.is_asked else await self._again(turn, live.record)
                if following is None:
                    break
                stop, turn, plan = live.stop, following, None
                live = await self._enlist(turn)
                live.stop = stop  # whoever has asked meanwhile meant the turn
                at.move(live)
                live.say(self._told(turn))
            await self._rooms.state.forget_turn(turn.session_id)
        except HutchError as error:  # of the state: its disk is full or broken
            logger.warning("session=%s its turn is not written down: %s", turn.session_id, error.message)
        finally:
            self._runs.discharge(live)
            self._at.pop(turn.session_id, None)
            at.move(None)

    async def _one_run(self, turn: Turn, live: LiveRun, plan: Plan | None) -> Turn:
        """Take one run of a turn from the queue to its end; return the turn as it is written down then."""
        if live.started.is_set():  # an earlier daemon has begun it
            await live.ended.wait()
            return turn
        if live.record.status == "queued":
            plan = None  # what is granted by then
        session = await self._session(turn)
        try:
            if not await self._reached(turn, live):
                await self._end(session, live, "cancelled", live.stop.reason)
                return turn
            request = AgentRequest.model_validate(turn.request)
            agent = find_agent(self._rooms, request.agent)
            request = await with_bundles(self._rooms.config, request)
            plan = plan or await self._plan(session, request, turn)
            turn, plan = await self._within_bounds(turn, plan)
            await self._runs.begin(live, plan)
            work = work_of(self._rooms, agent, session, request, plan, live)
            if len(turn.runs) > 1:
                work.go_on()
            running = replace(session, status="running", updated_at=time.time(), error=None)
            await self._rooms.state.put_session(running)
        except (HutchError, ValidationError) as error:
            live.error = error if isinstance(error, HutchError) else _UNREADABLE
            await self._end(session, live, "failed", f"{live.error.code}: {live.error.message}")
            return turn
        if self.runners is not None:
            await self.runners.take_turn(live, plan, running, request, goes_on=len(turn.runs) > 1)
            return turn
        async with self._clients.during(live, plan), anyio.create_task_group() as beside:
            beside.start_soon(work.watch)
            await self._runs.follow(live, plan, work)
            beside.cancel_scope.cancel()
        return turn

    async def _plan(self, session: Session, request: AgentRequest, turn: Turn) -> Plan:
        """Return what a turn gets now."""
        plan = await plan_turn(self._rooms, session, request)
        if turn.fork:
            (mount,) = plan.volumes
            fork = replace(mount, source=turn.fork["source"], at=turn.fork["at"])
            plan = replace(plan, volumes=(fork,))
        return await within_shared(self._rooms, plan, session, pauses=request.pause_at_budget)

    async def _reached(self, turn: Turn, live: LiveRun) -> bool:
        """Wait for its time, and in the queue; False: it was stopped meanwhile."""
        with anyio.CancelScope() as waiting, live.stop.ends(waiting):
            if (pause_s := turn.due_at - time.time()) > 0:
                await anyio.sleep(pause_s)
            self._line.join(live, turn.asked_at)
        return await self._line.until_first(live)

    async def _within_bounds(self, turn: Turn, plan: Plan) -> tuple[Turn, Plan]:
        """Give a run what the ones before have left of its time and of the budgets of a run."""
        now = time.time()
        if turn.ends_at is None:
            turn = replace(turn, ends_at=now + plan.limits.wall_s)
            await self._rooms.state.put_turn(turn)
        assert turn.ends_at is not None
        spent = Spent()
        for run_id in turn.runs[:-1]:
            spent += (await self._rooms.accounts.account(Key("run", run_id))).spent
        limits = replace(plan.limits, wall_s=max(min(plan.limits.wall_s, turn.ends_at - now), _LEAST_S))
        budgets = tuple(limit.after(spent) if limit.per == "run" else limit for limit in plan.budgets)
        granted = {**plan.granted, "limits": asdict(limits)}
        return turn, replace(plan, limits=limits, budgets=budgets, granted=granted)

    async def _end(self, session: Session, live: LiveRun, status: RunStatus, why: str) -> None:
        """End a run whose sandbox never began."""
        await self._rooms.state.put_run(live.end(status=status, reason=why))
        now: SessionStatus = "idle" if status == "cancelled" else "failed"
        await self._rooms.state.put_session(replace(session, status=now, updated_at=time.time(), error=why))
        live.announce_end()

    async def _again(self, turn: Turn, run: Run) -> Turn | None:
        """Return the turn with one more run to come, written down; None: it is over."""
        settings = self._rooms.config.agents.get(str(turn.request["agent"]))
        if settings is None or not is_tried_again(run, turn.request) or len(turn.runs) > self._retries(turn):
            return None
        due_at = time.time() + pause_s(len(turn.runs), settings.retry_s, random.uniform)
        if turn.ends_at is not None and due_at >= turn.ends_at:
            return None
        following = replace(turn, runs=(*turn.runs, new_id("r")), fork=None, due_at=due_at)
        logger.warning("run=%s is tried again as %s: %s", run.id, following.run_id, run.reason)
        await self._rooms.state.put_turn(following)
        return following

    def _retries(self, turn: Turn) -> int:
        settings = self._rooms.config.agents[str(turn.request["agent"])]
        asked = turn.request.get("retries")
        return asked if isinstance(asked, int) else settings.retries

    def _told(self, turn: Turn) -> str:
        pause = max(turn.due_at - time.time(), 0)
        return f"retry {len(turn.runs) - 1} of {self._retries(turn)} begins in {pause:.0f} s"

    async def _session(self, turn: Turn) -> Session:
        session = await self._rooms.state.session(turn.session_id)
        assert session is not None  # its turn goes with it
        return session
