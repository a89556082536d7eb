"""Kept sandboxes: one stays under a session, holds its volumes, and takes commands until it is ended."""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from hutch.budgets import Purse, Whose
from hutch.egress import InForce, proxy_variables
from hutch.egress.exchange import Exchanges
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.path.ending import end, fail, plain
from hutch.runs.path.exchanging import Exchanging, exchanging
from hutch.runs.path.folders import Folders, folders_of
from hutch.runs.path.live import LiveRun
from hutch.runs.path.outcomes import explained
from hutch.runs.path.path import (
    PATIENCE_S,
    OneCommand,
    finished,
    policy_record,
    running,
    way_out,
)
from hutch.runs.path.private import PrivateFolder, private_folder
from hutch.runs.path.spending import metering, over_budget, steps_of
from hutch.runs.path.suspending import keep_deadline, suspend
from hutch.runs.path.workspaces import Workspace, workspace_of
from hutch.runs.rooms import Rooms
from hutch.supervisor import Standstill, supervise
from hutch_launchers.launcher import KeptSandbox
from hutch_launchers.spec import EgressEndpoint, Limits

logger = logging.getLogger(__name__)

Announce = Callable[[], Awaitable[None]]

_STOP_GRACE_S = 2.0  # for commands that still run when their sandbox is ended


@dataclass(slots=True)
class Kept:
    """A kept sandbox. Owned by the task in `keep`; others wait for `ready`, then run commands in it."""

    session_id: str
    principal: str
    plan: Plan
    idle_s: float  # without a command for so long, it ends
    ready: anyio.Event = field(default_factory=anyio.Event)  # it takes commands, or `error` says why not
    ended: anyio.Event = field(default_factory=anyio.Event)
    error: HutchError | None = None
    reason: str = ""  # why it ended
    policy: dict[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # of every command, beneath its own
    sandbox: KeptSandbox | None = None
    folders: Folders | None = None
    workspace: Workspace | None = None
    running: dict[str, LiveRun] = field(default_factory=dict)
    standstill: Standstill = field(default_factory=Standstill)
    purse: Purse | None = None  # where something of its network is metered
    network: InForce = field(init=False)  # what it may reach now
    _unsynced: list[LiveRun] = field(default_factory=list)  # that ended while the store was away
    _stop: anyio.Event = field(default_factory=anyio.Event)
    _used_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.network = InForce(self.plan.network)

    def stop(self, reason: str) -> None:
        self.standstill.end()
        self.reason = self.reason or reason
        self._stop.set()

    def tell(self, policy: dict[str, object]) -> None:
        """Write down its changed policy, for what runs in it and for what will."""
        self.policy = policy
        for live in self.running.values():
            live.change(policy=policy)

    def stop_at_once(self, reason: str) -> None:
        """End it, and what runs in it, without a grace."""
        for live in self.running.values():
            live.stop_at_once(reason)
        self.stop(reason)

    async def keep(self, rooms: Rooms, announce: Announce) -> None:
        """Start the sandbox and hold it, with its volumes, until it is stopped, idle too long, or ends.

        `announce` is awaited when the sandbox has ended and its volumes have still to wait for the store.
        """
        try:
            await self._keep(rooms, announce)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this one and not the daemon
            self.error = plain(error)
            logger.warning("session=%s failed: %s: %s", self.session_id, self.error.code, self.error.message)
        finally:
            self.sandbox = None
            self.ready.set()

    async def run(self, rooms: Rooms, live: LiveRun, work: OneCommand, limits: Limits) -> None:
        """Take one command along the inner part of a run's path, to a final record."""
        self.running[live.id] = live
        live.output_bytes = limits.output_bytes
        try:
            if self.sandbox is None or self.folders is None or self.workspace is None:
                raise _gone(self)
            _refuse_suspended(self)
            live.change(policy=self.policy)
            method, wall_s = self.plan.method, limits.wall_s
            with rooms.deadlines.held(live.id, method, self.session_id, in_s=wall_s):
                env = {**proxy_variables(self.plan.network), **self.env, **work.command.env}
                async with self.sandbox.start(replace(work.command, env=env)) as process:
                    running(live, wall_s)
                    live.standstill, live.purse = self.standstill, self.purse
                    live.behind = self.folders.behind
                    ended = await supervise(
                        process, work.stdin, live.sink, wall_s, live.stop, self.standstill
                    )
            ended = explained(ended, self.plan.limits, live.enforced, self.folders.writables)
            ended = over_budget(ended, live)
            live.change(workspace=await self.workspace.told())
            await end(rooms.state, live, work, **await finished(live, work, self.folders, ended))
            if live.record.unsynced:
                self._unsynced.append(live)
            else:
                await self._note_synced(rooms)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this one and not the daemon
            await fail(rooms.state, live, work, error)
        finally:
            self.running.pop(live.id, None)
            self._used_at = time.monotonic()

    async def _keep(self, rooms: Rooms, announce: Announce) -> None:
        launcher = rooms.launchers[self.plan.method]
        async with folders_of(rooms, self.plan, self.session_id, self._waits) as folders:
            held = workspace_of(rooms, self.plan, self.session_id, logger.info, self.stop_at_once)
            async with held as workspace:
                with private_folder(rooms, self.session_id) as private:
                    async with (
                        self._metering(rooms) as self.purse,
                        self._exchanging(private) as own,
                        self._way_out(rooms, private, own.exchanges) as endpoint,
                    ):
                        self.env = own.env
                        self.policy = await policy_record(launcher, self.plan)
                        mounts = (*own.mounts, *workspace.mounts)
                        spec = self.plan.spec(self.session_id, folders.paths, endpoint, mounts)
                        with self._without_us(rooms):
                            async with launcher.keep(spec) as sandbox:
                                self.folders, self.workspace, self.sandbox = folders, workspace, sandbox
                                self._used_at = time.monotonic()
                                self.ready.set()
                                async with folders.streamed(self.session_id, sandbox, self.stop):
                                    await self._until_end(sandbox)
                                    self.sandbox = None  # no more commands
                                    await self._end_commands()
            # what background processes wrote since the last command
            committed = await folders.commit_patiently(self.session_id, PATIENCE_S, logger.info)
            if committed.unsynced:
                self.reason += f"; {', '.join(committed.unsynced)}: held until the store takes what changed"
                await announce()
                await folders.commit_patiently(self.session_id, math.inf, logger.info)
            await self._note_synced(rooms)

    async def suspend(self, rooms: Rooms, *, suspended: bool) -> None:
        """Hold the sandbox and all that runs in it still, or let it go on. Raises `suspend_unsupported`."""
        method = self.plan.method
        if not suspended:
            self.standstill.end()
            self._used_at = time.monotonic()
        elif self.sandbox is not None:
            await suspend(self.sandbox, self.standstill, method)
        for live in self.running.values():
            keep_deadline(rooms, live, method, self.session_id)
        after_s = 0 if self.standstill.holds else self.idle_s
        rooms.deadlines.set(self.session_id, method, self.session_id, after_s=after_s)

    def _way_out(
        self, rooms: Rooms, private: PrivateFolder, exchanges: Exchanges
    ) -> AbstractAsyncContextManager[EgressEndpoint | None]:
        return way_out(rooms, self.session_id, private, self.network, self._reached, exchanges)

    def _exchanging(self, private: PrivateFolder) -> AbstractAsyncContextManager[Exchanging]:
        steps = steps_of(self.purse, self.plan.network)
        return exchanging(self.session_id, self.plan, private, self.network, steps)

    def _metering(self, rooms: Rooms) -> AbstractAsyncContextManager[Purse | None]:
        whose = Whose(self.session_id, self.session_id, self.principal)
        at_work = self.running.values
        return metering(
            rooms, self.network, self.plan.budgets, whose, lambda: list(at_work()), partial(self._hold, rooms)
        )

    async def _hold(self, rooms: Rooms) -> Standstill:
        await self.suspend(rooms, suspended=True)
        return self.standstill

    def _without_us(self, rooms: Rooms) -> AbstractContextManager[None]:
        """Nobody gives it a command when the daemon is dead: from then on it is idle."""
        return rooms.deadlines.held(self.session_id, self.plan.method, self.session_id, after_s=self.idle_s)

    def _waits(self, note: str) -> bool:
        """Whether the sandbox is still wanted while it waits for a volume."""
        logger.info("session=%s %s", self.session_id, note)
        return not self._stop.is_set()

    def _reached(self, destination: str, refused: str | None) -> None:
        for live in self.running.values():  # one of them, nobody knows which
            live.reached(destination, refused)

    async def _note_synced(self, rooms: Rooms) -> None:
        """All is in the store now, also what earlier commands had left."""
        while self._unsynced:
            live = self._unsynced.pop()
            await rooms.state.put_run(live.change(unsynced={}))

    async def _until_end(self, sandbox: KeptSandbox) -> None:
        async def ends_itself() -> None:
            await sandbox.wait()
            self.stop("the sandbox ended from within")

        async with anyio.create_task_group() as group:
            group.start_soon(ends_itself)
            group.start_soon(self._watch_idle)
            await self._stop.wait()
            group.cancel_scope.cancel()

    async def _watch_idle(self) -> None:
        while True:
            idle_s = 0.0 if self.running or self.standstill.holds else time.monotonic() - self._used_at
            if idle_s >= self.idle_s:
                self.stop(f"no command for {self.idle_s:g} s")
            await anyio.sleep(max(self.idle_s - idle_s, 0.05))

    async def _end_commands(self) -> None:
        for live in list(self.running.values()):
            live.stop.ask(self.reason, _STOP_GRACE_S)
        for live in list(self.running.values()):
            await live.ended.wait()


def _refuse_suspended(kept: Kept) -> None:
    if kept.standstill.holds:
        raise HutchError(
            "session_suspended",
            f"session {kept.session_id} is suspended",
            f"let it go on with: hutch resume {kept.session_id}",
        )


def _gone(kept: Kept) -> HutchError:
    return kept.error or HutchError(
        "session_ended",
        f"session {kept.session_id} has ended: {kept.reason}",
        "open another with session_id=new",
    )
