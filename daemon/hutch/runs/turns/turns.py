"""From what is asked of an agent to its turn: the plan, and the work of a run. By a daemon or without one."""

import os
import time
from dataclasses import replace

from hutch.access import Level
from hutch.agents import Agent, AgentTurn, McpServer
from hutch.config import Agent as AgentConfig
from hutch.config import Limits
from hutch.errors import HutchError
from hutch.mounts import WORKSPACE, VolumeMount, read_mount, refuse_ungranted
from hutch.policy import Plan, Wish
from hutch.runs.path.door import servers_of, with_door
from hutch.runs.path.folders import refuse_fork
from hutch.runs.path.live import LiveRun
from hutch.runs.planning.credentials import keyless
from hutch.runs.planning.planning import plan_for
from hutch.runs.rooms import PathRooms, new_id
from hutch.runs.turns.references import References, secrets_of
from hutch.runs.turns.turn import AgentWork
from hutch.state import Session
from hutch_launchers.launcher import AgentLauncher, Launcher
from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec

BESIDE = "/session"  # the volume of an agent that has a workspace


def find_agent(rooms: PathRooms, name: str) -> Agent:
    """Return an agent of the configuration. Raises HutchError `agent_unknown`, `agent_missing`."""
    find = rooms.agents.get(name)
    if find is None:
        known = ", ".join(sorted(rooms.agents)) or "none"
        raise HutchError("agent_unknown", f"no agent is called {name!r}", f"known: {known}")
    return find()


async def refuse_keyless(rooms: PathRooms, agent: Agent, name: str, plan: Plan) -> None:
    """Raise HutchError `agent_keyless` where nothing can hold a login: the volume is yet to be made."""
    has_egress = not isinstance(rooms.launchers[plan.method], AgentLauncher)
    home = plan.volumes[0]
    refusal = keyless(rooms.config, name, agent, has_egress=has_egress)
    if refusal is None or home.source:  # a fork has what it is made from
        return
    try:
        await rooms.volumes.info(rooms.volume(home.name))
    except HutchError as error:
        if error.code == "volume_unknown":
            raise refusal from None
        raise


async def with_volume(
    rooms: PathRooms, request: AgentRequest, principal: str
) -> tuple[AgentRequest, VolumeMount | None]:
    """Return the request with its volume's templates resolved; and that volume, if it is to be a new fork.

    The fork is made when its run begins.
    """
    if not request.volume:
        return request, None
    config = rooms.config
    mount = read_mount(request.volume, request.args, config.daemon.workspace)
    if mount.source:
        refuse_ungranted([mount], config, await rooms.access.rights(principal))
        await refuse_fork(rooms, mount)
    if not mount.writable:
        raise HutchError("volume_invalid", "an agent keeps its session in its volume", "leave out the :ro")
    volume = mount.name if mount.target == WORKSPACE else f"{mount.name}:{mount.target}"
    return request.model_copy(update={"volume": volume}), mount if mount.source else None


async def new_session(rooms: PathRooms, request: AgentRequest, principal: str) -> Session:
    """Return a session that begins with this request. Nothing is stored."""
    session_id, now = new_id("s"), time.time()
    volume = request.volume or f"{request.agent}-{session_id.removeprefix('s-')}"
    rights = await rooms.access.rights(principal)
    if not request.volume and rights.level(rooms.volume(volume)) < Level.WRITE:
        raise HutchError(
            "volume_needed",
            "you may not make the volume that a new session would get",
            "name one that you may write; see: hutch volume ls",
        )
    return Session(
        id=session_id,
        kind="agent",
        status="idle",
        method=request.method or rooms.config.policy.method,
        created_at=now,
        updated_at=now,
        agent=request.agent,
        volume=volume,
        principal=principal,
    )


async def plan_turn(
    rooms: PathRooms, session: Session, request: AgentRequest, fork: VolumeMount | None = None
) -> Plan:
    """Return what a turn gets; its budgets in minutes are not looked at. Raises what `plan_for` raises."""
    config, settings = rooms.config, rooms.config.agents[request.agent]
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
        secrets=_secrets(request),
        wall_s=request.max_minutes and request.max_minutes * 60,
        budget_usd=request.budget_usd,
        budget_tokens=request.budget_tokens,
        budget_requests=request.budget_requests,
        pause_at_budget=request.pause_at_budget,
    )
    config = replace(config, policy=replace(config.policy, limits=own))
    plan = await plan_for(rooms, wish, session.principal, config=config, agent=settings)
    if request.hutch or settings.hutch:
        plan = with_door(rooms, plan, settings.hutch_runs)
    if fork is None:
        return plan
    (mount,) = plan.volumes
    return replace(plan, volumes=(replace(mount, source=fork.source, at=fork.at),))


def work_of(
    rooms: PathRooms, agent: Agent, session: Session, request: AgentRequest, plan: Plan, live: LiveRun
) -> AgentWork:
    """Return the turn as the work of a run."""
    settings, references = rooms.config.agents[request.agent], References()
    servers = {name: references.marked(_server(spec)) for name, spec in request.mcp_servers.items()}
    turn = _turn(plan, request, settings, rooms.launchers[plan.method])
    return AgentWork(
        agent=agent,
        turn=replace(turn, servers=servers_of(plan, servers)),
        references=references,
        session=session,
        plan=plan,
        live=live,
        rooms=rooms,
        may_resume=request.resume,
        passed_env={name: os.environ[name] for name in settings.pass_env if name in os.environ},
    )


def _secrets(request: AgentRequest) -> list[str]:
    """Those that are asked for, and those that its servers of MCP refer to."""
    asked = {secret.removesuffix(":env") for secret in request.secrets}
    return [*request.secrets, *(name for name in secrets_of(request.mcp_servers) if name not in asked)]


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
        output_schema=request.output_schema,
        max_turns=request.max_turns,
        budget_usd=None if is_metered else request.budget_usd,  # what we watch, it need not
        protects_itself=isinstance(launcher, AgentLauncher) and launcher.is_agents_own,
    )


def _server(spec: McpServerSpec) -> McpServer:
    command = (spec.command, *spec.args) if spec.command is not None else ()
    return McpServer(command, spec.env, spec.url or "", spec.headers)
