"""Sessions that are an agent at work: its turns, one at a time, over any number of runs."""

import os
import time
from dataclasses import replace

import anyio

from hutch.access import Level
from hutch.agents import Agent, AgentTurn, McpServer
from hutch.config import Agent as AgentConfig
from hutch.config import Limits
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE, VolumeMount, read_mount, refuse_ungranted
from hutch.policy import Plan, Wish, shown
from hutch.runs.folders import refuse_fork
from hutch.runs.live import LiveRun
from hutch.runs.planning import plan_for
from hutch.runs.rooms import new_id
from hutch.runs.runs import Runs
from hutch.runs.time_left import within_time
from hutch.runs.turn import AgentWork
from hutch.state import Session
from hutch_launchers.launcher import AgentLauncher, Launcher
from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec, TurnBounds

_STARTS_WITHIN_S = 10.0  # after that a caller is told "running" while the sandbox is still being prepared
# What later turns repeat; bounds are of one turn
_STORED = ("model", "method", "image", "tier", "network", "workspace", "secrets", "mcp_servers")

BESIDE = "/session"  # the volume of an agent that has a workspace


class AgentSessions:
    """Every agent session of this daemon. Methods raise HutchError."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._rooms = runs.rooms
        self._turns: dict[str, LiveRun] = {}  # session id -> the turn it is at

    async def start(self, request: AgentRequest, principal: str) -> Session:
        """Begin a session of `principal`'s, or go on with the one that this agent has in this volume."""
        known = fork = None
        if request.volume:
            mount = await self._resolved(request, principal)
            fork = mount if mount.source else None
            volume = mount.name if mount.target == WORKSPACE else f"{mount.name}:{mount.target}"
            request = request.model_copy(update={"volume": volume})
        if request.volume and request.resume:
            known = await self._rooms.state.newest_agent_session(request.volume, request.agent, principal)
        session = known or await self._new(request, principal)
        said = request.model_dump(mode="json", include=set(_STORED))
        changes = {name: value for name, value in said.items() if value}
        session = replace(session, name=request.name or session.name, request={**session.request, **changes})
        return await self._turn(session, request, fork)

    async def send(self, session: Session, message: str, bounds: TurnBounds) -> Session:
        """Give an agent its next prompt."""
        if session.kind != "agent":
            raise HutchError(
                "session_invalid",
                f"session {session.id} is a kept sandbox, not an agent",
                f"run in it with: hutch run --session {session.id}",
            )
        said = {"agent": session.agent, "prompt": message, "volume": session.volume}
        request = AgentRequest.model_validate({**session.request, **bounds.model_dump(), **said})
        return await self._turn(session, request)

    def turn_of(self, session_id: str) -> LiveRun | None:
        """Return the run that a session is at, if any."""
        return self._turns.get(session_id)

    async def ended(self, session_id: str) -> Session:
        """Note that nobody means to go on with this session; its volume and conversation stay."""
        session = await self._rooms.state.session(session_id)
        assert session is not None  # the caller has found it
        if session.status in ("running", "idle"):
            session = replace(session, status="ended", updated_at=time.time())
            await self._rooms.state.put_session(session)
        return session

    async def _resolved(self, request: AgentRequest, principal: str) -> VolumeMount:
        """Return the volume, its templates resolved. One that is to be a fork is made when its run begins."""
        config = self._rooms.config
        mount = read_mount(request.volume or "", request.args, config.daemon.workspace)
        if mount.source:
            refuse_ungranted([mount], config, await self._rooms.access.rights(principal))
            await refuse_fork(self._rooms, mount)
        if not mount.writable:
            raise HutchError(
                "volume_invalid", "an agent keeps its session in its volume", "leave out the :ro"
            )
        return mount

    async def _new(self, request: AgentRequest, principal: str) -> Session:
        session_id, now = new_id("s"), time.time()
        volume = request.volume or f"{request.agent}-{session_id.removeprefix('s-')}"
        rights = await self._rooms.access.rights(principal)
        if not request.volume and rights.level(self._rooms.volume(volume)) < Level.WRITE:
            raise HutchError(
                "volume_needed",
                "you may not make the volume that a new session would get",
                "name one that you may write; see: hutch volume ls",
            )
        return Session(
            id=session_id,
            kind="agent",
            status="idle",
            method=request.method or self._rooms.config.policy.method,
            created_at=now,
            updated_at=now,
            agent=request.agent,
            volume=volume,
            principal=principal,
        )

    async def _turn(
        self, session: Session, request: AgentRequest, fork: VolumeMount | None = None
    ) -> Session:
        if live := self._turns.get(session.id):
            raise HutchError(
                "session_busy",
                f"session {session.id} is at work in run {live.id}",
                f"wait for it, or end its turn with: hutch stop {live.id}",
            )
        agent, settings = self._agent(request.agent)
        plan = await self._plan(session, request, settings)
        plan = await within_time(self._rooms, plan, session.principal, session.id)
        if fork:
            (mount,) = plan.volumes
            plan = replace(plan, volumes=(replace(mount, source=fork.source, at=fork.at),))
        await self._rooms.state.put_session(session)
        command = f"{request.agent}: {shown(request.prompt)}"
        live = await self._runs.admit(plan, command, session.principal, session.id)
        self._turns[session.id] = live
        session = replace(session, status="running", updated_at=time.time(), error=None)
        await self._rooms.state.put_session(session)
        work = AgentWork(
            agent=agent,
            turn=_turn(plan, request, settings, self._rooms.launchers[plan.method]),
            session=session,
            plan=plan,
            live=live,
            rooms=self._rooms,
            may_resume=request.resume,
            passed_env={name: os.environ[name] for name in settings.pass_env if name in os.environ},
        )
        self._runs.tasks.start_soon(self._follow, session.id, live, plan, work)
        with anyio.move_on_after(_STARTS_WITHIN_S):
            await live.started.wait()
        if live.error is not None and live.record.duration_s is None:
            raise live.error
        return await self._rooms.state.session(session.id) or session

    async def _follow(self, session_id: str, live: LiveRun, plan: Plan, work: AgentWork) -> None:
        try:
            async with anyio.create_task_group() as beside:
                beside.start_soon(work.watch)
                await self._runs.follow(live, plan, work)
                beside.cancel_scope.cancel()
        finally:
            self._turns.pop(session_id, None)

    def _agent(self, name: str) -> tuple[Agent, AgentConfig]:
        find = self._rooms.agents.get(name)
        if find is None:
            known = ", ".join(sorted(self._rooms.agents)) or "none"
            raise HutchError("agent_unknown", f"no agent is called {name!r}", f"known: {known}")
        return find(), self._rooms.config.agents[name]

    async def _plan(self, session: Session, request: AgentRequest, settings: AgentConfig) -> Plan:
        config = self._rooms.config
        own = _own_limits(settings, config.policy.limits, config.policy.max_limits)
        wish = Wish(
            command=(request.agent,),  # the adapter builds the real one once the volume is there
            volumes=(_volume(session.volume or "", has_workspace=bool(request.workspace)),),
            workspace=request.workspace,
            method=request.method,
            image=request.image,
            tier=request.tier,
            volume_wait_s=request.volume_wait_s,
            network=request.network or settings.network,
            secrets=request.secrets,
            wall_s=request.max_minutes and request.max_minutes * 60,
            budget_usd=request.budget_usd,
            budget_tokens=request.budget_tokens,
            budget_requests=request.budget_requests,
            pause_at_budget=request.pause_at_budget,
        )
        config = replace(config, policy=replace(config.policy, limits=own))
        return await plan_for(self._rooms, wish, session.principal, config=config, agent=settings)


def _own_limits(settings: AgentConfig, default: Limits, most: Limits) -> Limits:
    """What an agent's own table says takes the place of the policy's defaults, and never of its bounds."""
    return replace(
        default,
        wall_s=min(settings.max_minutes * 60, most.wall_s),
        memory_bytes=min(settings.memory_bytes, most.memory_bytes),
    )


def _volume(text: str, *, has_workspace: bool) -> str:
    """Where the session's volume is: beside a workspace, not in its place."""
    return f"{text}:{BESIDE}" if has_workspace and ":" not in text else text


def _turn(plan: Plan, request: AgentRequest, settings: AgentConfig, launcher: Launcher) -> AgentTurn:
    is_metered = bool(plan.network.metered) and not isinstance(launcher, AgentLauncher)
    return AgentTurn(
        prompt=request.prompt,
        session_id="",  # settled once the volume is there
        resumes=False,
        volume=plan.volumes[0].target,
        model=request.model or settings.model or None,
        instructions=request.instructions or "",
        skills=request.skills,
        servers={name: _server(spec) for name, spec in request.mcp_servers.items()},
        output_schema=request.output_schema,
        max_turns=request.max_turns,
        budget_usd=None if is_metered else request.budget_usd,  # what we watch, it need not
        protects_itself=isinstance(launcher, AgentLauncher) and launcher.is_agents_own,
    )


def _server(spec: McpServerSpec) -> McpServer:
    command = (spec.command, *spec.args) if spec.command is not None else ()
    return McpServer(command, spec.env, spec.url or "", spec.headers)
