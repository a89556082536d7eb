"""The path of one run, top to bottom. The nesting of its blocks is the proof of the order.

The process is dead before the last commit, and the commit is made before the lease is released.
"""

import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from hutch.egress import Connection as Passed
from hutch.egress import InForce, Network, carrying, open_ways, proxy_variables
from hutch.egress.exchange import Exchanges
from hutch.errors import unwrapped
from hutch.policy import Plan
from hutch.runs.path.advice import TAIL_BYTES, advice, refusal
from hutch.runs.path.door import steps_of
from hutch.runs.path.ending import Settles, end, fail, store, until_stored
from hutch.runs.path.exchanging import Fill, exchanging, nothing_to_fill
from hutch.runs.path.folders import Folders, folders_of
from hutch.runs.path.live import LiveRun
from hutch.runs.path.outcomes import explained
from hutch.runs.path.private import PrivateFolder, private_folder
from hutch.runs.path.spending import metering_of, over_budget, refuse_unmetered
from hutch.runs.path.workspaces import workspace_of
from hutch.runs.rooms import PathRooms
from hutch.state import Connection, Journal
from hutch.supervisor import Ended, Sink, supervise
from hutch_launchers.launcher import AgentLauncher, Launcher, SandboxProcess
from hutch_launchers.spec import Command, EgressEndpoint, Mount, SandboxSpec

logger = logging.getLogger(__name__)

Reached = Callable[[str, str | None], None]  # told of every connection: "host:port", and why it was refused

_HOSTS_NETWORK = "whatever the host reaches: the method holds no network"
PATIENCE_S = 3.0  # with a store that does not take a commit, before a run ends without it


@dataclass(frozen=True, slots=True)
class Start:
    """A process to start: what it is, what it reads, who takes its output."""

    command: Command
    stdin: bytes = field(repr=False)
    sink: Sink
    mounts: tuple[Mount, ...] = ()  # beside those of the plan
    agent: str = ""  # whose command it is; empty: a plain one
    fill: Fill = nothing_to_fill  # called when the run has its secrets' placeholders


class Work(Settles, Protocol):
    """What a run does in its sandbox, once its volumes are there."""

    async def start(self, folders: Folders, private: PrivateFolder) -> Start:
        """Prepare the volumes and say what to start. `private` may be asked for a host folder."""

    async def finish(self, folders: Folders, ended: Ended) -> dict[str, Any]:
        """The process is dead, nothing is committed yet. Return what the record shall say besides."""


@dataclass(frozen=True, slots=True)
class OneCommand:
    """A plain command."""

    live: LiveRun
    plan: Plan
    command: Command
    stdin: bytes = field(repr=False)

    async def start(self, folders: Folders, private: PrivateFolder) -> Start:
        return Start(self.command, self.stdin, self.live.sink)

    async def finish(self, folders: Folders, ended: Ended) -> dict[str, Any]:
        if ended.outcome != "exited" or not ended.exit.code:
            return {}
        stderr = self.live.log.tail("stderr", TAIL_BYTES)
        return {"reason": refusal(self.live.refused) or advice(self.plan, self.live.enforced, stderr)}

    async def settle(self) -> None:
        return


async def take(rooms: PathRooms, live: LiveRun, plan: Plan, work: Work) -> None:
    """Take a run along its whole path, to a final record. Raises nothing of its own."""
    logger.info("run=%s begins method=%s", live.id, plan.method)
    try:
        async with folders_of(rooms, plan, live.id, live.waits) as folders:
            holder = live.record.session_id or live.id
            async with workspace_of(rooms, plan, holder, live.say, live.stop_at_once) as workspace:
                with private_folder(rooms, live.id) as private:
                    start = await work.start(folders, private)
                    start = replace(start, mounts=(*workspace.mounts, *start.mounts))
                    ended = await _in_sandbox(rooms, live, plan, folders, private, start)
                live.change(workspace=await workspace.told())
            extra = await finished(live, work, folders, ended)
            if extra["unsynced"]:  # how it ended is told at once; its volumes stay held until they are safe
                await end(rooms.state, live, work, **extra)
                live.change(**await _synced(live, folders))
                await store(rooms.state, live)
        if not live.record.is_ended:
            await end(rooms.state, live, work, **extra)
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends this run and not the daemon
        await fail(rooms.state, live, work, error)
    await until_stored(rooms.state, live)


async def finished(live: LiveRun, work: Work, folders: Folders, ended: Ended) -> dict[str, Any]:
    """Commit what the process left, and return what its record shall say."""
    live.say("committing its volumes")
    # At once, so that it is known also when the commit fails
    live.change(
        exit_code=ended.exit.code,
        signal=ended.exit.signal,
        reason=ended.reason,
        duration_s=ended.duration_s,
    )
    values = await work.finish(folders, ended)
    committed = await folders.commit_patiently(live.id, PATIENCE_S, live.say)
    return {"status": ended.outcome, **committed.told(), **values}


async def _synced(live: LiveRun, folders: Folders) -> dict[str, Any]:
    """Commit as soon as the store takes it, and return what the record shall say."""
    for name, why in live.record.unsynced.items():
        logger.warning("run=%s ended; volume %s waits for the store: %s", live.id, name, why)
    committed = await folders.commit_patiently(live.id, math.inf, live.say)
    logger.warning("run=%s its volumes are in the store now", live.id)
    told = committed.told()
    told["snapshots"] = {**live.record.snapshots, **told["snapshots"]}
    told["changed"] = {**live.record.changed, **told["changed"]}
    return told


def running(live: LiveRun, wall_s: float) -> None:
    """Say that the process runs, to those who look at us: after a crash it is the same as starting."""
    live.wall_s, live.began_at = wall_s, time.monotonic()
    live.change(status="running")
    live.say("running")
    live.started.set()


async def _in_sandbox(
    rooms: PathRooms, live: LiveRun, plan: Plan, folders: Folders, private: PrivateFolder, start: Start
) -> Ended:
    launcher, network = rooms.launchers[plan.method], plan.network
    live.say("starting its sandbox")
    if isinstance(launcher, AgentLauncher):
        network = Network()
        refuse_unmetered(plan.budgets, plan.method)
    live.network = InForce(network, live.parent.network if live.parent else None)
    if not network:
        plan = replace(plan, secrets=tuple(each for each in plan.secrets if each.is_value_inside))
    async with (
        metering_of(rooms, live, plan.budgets) as live.purse,
        exchanging(live.id, plan, private, live.network, steps_of(live, network)) as own,
        way_out(rooms, live.id, private, live.network, live.reached, own.exchanges) as endpoint,
    ):
        env = {**proxy_variables(network), **own.env_of(start.command.env, start.fill)}
        command = replace(start.command, env=env)
        spec = plan.with_command(command).spec(live.id, folders.paths, endpoint, (*own.mounts, *start.mounts))
        live.change(policy=await policy_record(launcher, plan))
        with rooms.deadlines.held(live.id, plan.method, live.id, in_s=plan.limits.wall_s):
            launched = _launched(launcher, start.agent, spec)
            async with launched as process, folders.streamed(live.id, process, live.ask_to_stop):
                running(live, plan.limits.wall_s)
                live.behind = folders.behind
                live.process = process
                ended = await supervise(
                    process, start.stdin, start.sink, live.wall_s, live.stop, live.standstill
                )
                live.process = None
        ended = explained(ended, plan.limits, live.enforced, folders.writables)
        return over_budget(ended, live)


def _launched(
    launcher: Launcher, agent: str, spec: SandboxSpec
) -> AbstractAsyncContextManager[SandboxProcess]:
    """A method in launch mode starts the agent; it refuses what is none."""
    if agent and isinstance(launcher, AgentLauncher):
        return launcher.launch_agent(agent, spec)
    return launcher.launch(spec)


@asynccontextmanager
async def way_out(
    rooms: PathRooms,
    run_id: str,
    private: PrivateFolder,
    network: InForce,
    reached: Reached,
    exchanges: Exchanges,
) -> AsyncGenerator[EgressEndpoint | None]:
    """Open the granted ways out, within the run's private folder, and keep a log of what passes."""
    if not network.network:
        yield None
        return
    sender, passed = anyio.create_memory_object_stream[Passed](math.inf)  # bounded by the egress' own bounds
    with unwrapped():
        async with anyio.create_task_group() as group:
            group.start_soon(_store_connections, rooms.state, passed, reached)
            with sender:
                log, carry = sender.send_nowait, carrying(exchanges)
                async with open_ways(network, run_id, private.make(), log, carry) as endpoint:
                    yield endpoint


async def _store_connections(
    state: Journal, passed: MemoryObjectReceiveStream[Passed], reached: Reached
) -> None:
    with passed:
        async for c in passed:
            reached(f"{c.host}:{c.port}" if c.port else c.host, c.told or None)
            await state.add_connection(
                Connection(
                    run_id=c.run_id,
                    at=c.started_at.timestamp(),
                    host=c.host,
                    address=c.address,
                    port=c.port,
                    sent=c.bytes_out,
                    received=c.bytes_in,
                    duration_s=c.duration_s,
                    refused=c.refused,
                    count=c.count,
                    rule=c.rule,
                    told=c.told,
                    way=c.way,
                    secrets=",".join(c.secrets),
                )
            )


async def policy_record(launcher: Launcher, plan: Plan) -> dict[str, object]:
    """Return the policy in force: what was asked, what is granted, and by what mechanism it is enforced."""
    probe = await launcher.probe()
    enforced = {str(name): shown.mechanism for name, shown in probe.evidence.items() if shown.held}
    open_network = {"network": [_HOSTS_NETWORK]} if isinstance(launcher, AgentLauncher) else {}
    return {
        "requested": plan.requested,
        "narrowed": list(plan.narrowed),
        "granted": {
            **plan.granted,
            **open_network,
            "hidden": [str(mask.target) for mask in plan.masks if not mask.writable],
        },
        "enforced": enforced,
        "evidence": {str(name): shown.detail for name, shown in probe.evidence.items() if shown.held},
        "method": plan.method,
    }
