"""Scripts as runs: their files go in read-only, and what `main` returned is read back from their output."""

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from anyio import to_thread

from hutch.agents import GIVEN, AgentCommand, AgentTurn, give, lay_state
from hutch.config import Agent as AgentConfig
from hutch.errors import HutchError
from hutch.mounts import HOME, WORKSPACE, VolumeMount
from hutch.policy import Plan, Wish, shown
from hutch.runs.path.folders import Folders
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import read_log
from hutch.runs.path.path import OneCommand, Start
from hutch.runs.path.private import PrivateFolder
from hutch.runs.planning.credentials import keyless
from hutch.runs.planning.planning import plan_for
from hutch.runs.rooms import PathRooms
from hutch.scripts import MAX_RESULT, Script, Started, read_result, start
from hutch.supervisor import Ended
from hutch_launchers.launcher import AgentLauncher
from hutch_launchers.spec import Command, Mount
from hutch_mcp_tools.run_records import RunRequest


@dataclass(frozen=True, slots=True)
class PlannedScript:
    """One that may run."""

    rooms: PathRooms
    plan: Plan
    command: str  # for a person's eyes
    started: Started = field(repr=False)
    agent: AgentCommand | None = field(repr=False)
    stdin: bytes = field(repr=False)

    def work(self, live: LiveRun, plan: Plan) -> "ScriptWork":
        """Return it as the work of a run."""
        one = OneCommand(live, plan, _with_agent(plan, self.agent), self.stdin)
        return ScriptWork(self.rooms, live, one, self.started, self.agent)


async def script_of(rooms: PathRooms, request: RunRequest, wish: Wish, principal: str) -> PlannedScript:
    """Return what a request's script gets, with the agent that it asks for.

    Raises what `plan_for` raises, and HutchError `script_invalid`, `argument_invalid`, `agent_unknown`,
    `agent_keyless`.
    """
    if request.script is None:
        raise HutchError("script_invalid", "an agent goes with a script", "its own tasks are of start_agent")
    if request.session_id is not None:
        raise HutchError(
            "session_invalid",
            "a script has a sandbox of its own",
            "keep what lasts in a volume, not a session",
        )
    script = Script(request.script.name, request.script.text)
    elsewhere = {name for name in request.args if any(f"$args[{name}" in text for text in request.volumes)}
    started = await to_thread.run_sync(start, script, request.args, elsewhere, GIVEN)
    agent = _agent(rooms, request.agent)
    wish = replace(wish, command=started.argv, network=wish.network or (agent.network if agent else None))
    plan = await plan_for(rooms, wish, principal, agent=agent)
    if agent and wish.budget_usd and not plan.network.metered:  # an agent would watch it by itself
        raise HutchError(
            "budget_unmetered",
            "a budget was asked for, and no host of this run's network is metered",
            "let the daemon's owner name hosts under network.NAME.metered",
        )
    plan = replace(plan, requested={**plan.requested, "agent": request.agent})
    plan = plan.with_command(replace(plan.command, env={**plan.command.env, **started.env}))
    if not wish.cwd:
        plan = plan.with_command(replace(plan.command, cwd=_workplace(plan)))
    if isinstance(rooms.launchers[plan.method], AgentLauncher):
        raise HutchError(
            "command_invalid", f"method {plan.method} starts agents, not scripts", "name another"
        )
    command = _command(rooms, request.agent, plan) if request.agent else None
    told = shown([script.name, *request.args])
    return PlannedScript(rooms, plan, told, started, command, request.stdin)


@dataclass(frozen=True, slots=True)
class ScriptWork:
    """A script, and the agent that is there for it."""

    rooms: PathRooms
    live: LiveRun
    one: OneCommand
    started: Started = field(repr=False)
    agent: AgentCommand | None = field(repr=False)

    async def start(self, folders: Folders, private: PrivateFolder) -> Start:
        given = private.make_given()
        files = {**(self.agent.given if self.agent else {}), **self.started.given}
        await to_thread.run_sync(give, given, files)
        if self.agent and (written := _first_written(self.one.plan)):
            await to_thread.run_sync(lay_state, folders.paths[written.key], self.agent.state)
        bindings = self.agent.bindings if self.agent else ()
        mounts = (*(Mount(each.source, each.target) for each in bindings), Mount(given, GIVEN))
        return replace(await self.one.start(folders, private), mounts=mounts)

    async def finish(self, folders: Folders, ended: Ended) -> dict[str, Any]:
        told = await self.one.finish(folders, ended)
        if not self.started.has_result or ended.outcome != "exited" or ended.exit.code != 0:
            return told
        path = self.rooms.logs / self.live.id / "stdout"
        data, _ = await to_thread.run_sync(read_log, path, 0, MAX_RESULT + 1)
        try:
            result = await to_thread.run_sync(read_result, data, self.started.language)
        except HutchError as error:
            return told | {"status": "failed", "reason": f"{error.code}: {error.message}; {error.hint}"}
        return told | {"result": result}

    async def settle(self) -> None:
        await self.one.settle()


def _agent(rooms: PathRooms, name: str | None) -> AgentConfig | None:
    if name is None:
        return None
    if name not in rooms.agents:
        known = ", ".join(sorted(rooms.agents)) or "none"
        raise HutchError("agent_unknown", f"no agent is called {name!r}", f"known: {known}")
    return rooms.config.agents[name]


def _workplace(plan: Plan) -> PurePosixPath:
    """Where a script begins: the folder that relative mount paths are beneath."""
    is_there = plan.workspace or any(volume.target == WORKSPACE for volume in plan.volumes)
    return WORKSPACE if is_there else HOME


def _command(rooms: PathRooms, name: str, plan: Plan) -> AgentCommand:
    """How the agent would be started: of it a script gets the program, its environment and its files."""
    agent, settings = rooms.agents[name](), rooms.config.agents[name]
    if refusal := keyless(rooms.config, name, agent):
        raise refusal
    written = _first_written(plan)
    where = written.target if written else HOME
    turn = AgentTurn("", agent.new_session_id(), resumes=False, volume=where, model=settings.model or None)
    return agent.command(turn)


def _first_written(plan: Plan) -> VolumeMount | None:
    return next((volume for volume in plan.volumes if volume.writable), None)


def _with_agent(plan: Plan, command: AgentCommand | None) -> Command:
    if command is None:
        return plan.command
    path = f"{PurePosixPath(command.argv[0]).parent}:{plan.command.env['PATH']}"
    return replace(plan.command, env={**command.env, **plan.command.env, "PATH": path})
