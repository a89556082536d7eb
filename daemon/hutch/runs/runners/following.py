"""Follows a run that another process takes: stores once what its events tell, and steers it."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.lowlevel
from anyio import to_thread

from hutch.egress import InForce, Network, Rule
from hutch.errors import HutchError, unwrapped
from hutch.jobs import Job, JobDoor, JobFolder
from hutch.jobs.event_file import EventReader
from hutch.jobs.peer import GONE, Answer, Peer
from hutch.policy import Plan
from hutch.runs.path.live import LiveRun
from hutch.runs.path.network_changes import changed_by
from hutch.runs.path.spending import give
from hutch.runs.rooms import Rooms
from hutch.runs.runners.bookkeeping import Bookkeeping
from hutch.runs.runners.sharing import Shared
from hutch_mcp_tools.network_records import NetworkChange, NetworkRecord
from hutch_mcp_tools.usage_records import Budget

_LOOK_S = 0.5  # between two looks whether the runner lives
_TAKES_WITHIN_S = 30.0  # a runner that was started has taken its job by then
_ANSWERS_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.05

logger = logging.getLogger(__name__)


class RunnerDiedError(Exception):
    """The process that took a run is gone, and the run has no end."""


@dataclass(slots=True)
class Following:
    """One run that another process takes; the run's `Remote`."""

    rooms: Rooms
    live: LiveRun
    folder: JobFolder
    job: Job
    door: JobDoor | None = None  # by which its agent has us begin further runs
    _shared: Shared = field(init=False)
    _books: Bookkeeping = field(init=False)
    _began_at: float = field(default_factory=time.monotonic)
    _peer: Peer | None = None
    _came: anyio.Event = field(default_factory=anyio.Event)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _rounds: int = 0  # of reading
    _read: anyio.Event = field(default_factory=anyio.Event)
    _settled: list[int] = field(default_factory=list)
    _has_told: bool = False

    def __post_init__(self) -> None:
        limits = self.job.granted.budgets if self.job.granted else ()
        if self.folder.door is None:  # else all of them: what its agent has begun spends them too
            limits = tuple(limit for limit in limits if limit.per != "run")
        if self.door is not None:
            plan = self.door.plan
            limits, self.live.wall_s, self.live.door_token = plan.budgets, plan.limits.wall_s, self.door.token
            self.live.network = InForce(_uncounted(plan.network))
        self._shared = Shared.of(self.rooms, self.live, limits, self.folder)
        self._books = Bookkeeping(self.rooms, self.live, self._shared, self.job.session)
        self.live.remote, self.live.purse = self, self._shared.purse

    async def run(self) -> None:
        """Return when the run has its end, all of it stored. Raises RunnerDiedError, HutchError."""
        try:
            await self._books.look()
            with unwrapped():
                async with anyio.create_task_group() as group:
                    group.start_soon(self._keep_connected)
                    group.start_soon(self._pass_stop_on)
                    await self._follow()
                    group.cancel_scope.cancel()
        finally:
            self._shared.close()
            self.rooms.accounts.has_told(self.live.id)

    # As the run's `Remote` ------------------------------------------------------------

    async def suspend(self, *, suspended: bool) -> None:
        await self._ask("suspend", suspended=suspended)
        await self.caught_up()

    async def change_network(self, change: NetworkChange, by: str) -> NetworkRecord:
        if not change.allowed:  # what is taken, its agent's own runs are never to reach longer than it
            await self._change_door(change)
        answer = await self._ask("network", change=change.model_dump(mode="json"), by=by)
        if change.allowed:
            await self._change_door(change)
        await self.caught_up()
        return NetworkRecord.model_validate(answer)

    async def give(self, budget: Budget) -> None:
        if self.door is None:
            await self._ask("budget", budget=budget.model_dump(mode="json"))
            return
        give(self._shared.purse, budget)
        await self._write_door(replace(self.door.plan, budgets=self._shared.purse.limits))

    async def caught_up(self) -> None:
        target = self._rounds + 2  # the one that is under way may have read before
        with anyio.move_on_after(_ANSWERS_WITHIN_S):  # it may have ended, and nothing is read any more
            while self._rounds < target:
                self._news.set()
                await self._read.wait()

    # ------------------------------------------------------------------------------------

    async def _change_door(self, change: NetworkChange) -> None:
        """Have what its agent begins reach what it reaches itself."""
        if self.door is not None:
            network = changed_by(self.door.plan.network, change)
            self.live.network.replace(_uncounted(network))
            await self._write_door(replace(self.door.plan, network=network))

    async def _write_door(self, plan: Plan) -> None:
        """Have the next daemon know what was changed."""
        assert self.door is not None
        self.door = replace(self.door, plan=plan)
        await to_thread.run_sync(self.door.write, self.folder)

    async def _follow(self) -> None:
        reader = EventReader(self.folder.events)
        while not self._books.has_ended:
            has_told = self._has_told
            is_alive = self._is_alive()  # looked at before reading: what a dead one told is all there
            self._news, settled, self._settled = anyio.Event(), self._settled, []
            while lines := reader.lines():
                for line in lines:
                    await self._books.take(line)
            self._shared.settle(settled)
            if has_told:
                self.rooms.accounts.has_told(self.live.id)
            self._books.measure()
            self._rounds += 1
            self._read.set()
            self._read = anyio.Event()
            if self._books.has_ended:
                return
            if not is_alive:
                raise RunnerDiedError
            with anyio.move_on_after(_LOOK_S):
                await self._news.wait()

    def _is_alive(self) -> bool:
        if self.folder.is_taken:
            return True
        return not self.folder.events.exists() and time.monotonic() < self._began_at + _TAKES_WITHIN_S

    async def _keep_connected(self) -> None:
        answers: dict[str, Answer] = {
            "refuse_spent": self._shared.refuse_spent,
            "admit": self._shared.admit,
            "lend": self._shared.lend,
        }
        while True:
            try:
                stream = await anyio.connect_unix(self.folder.socket(self.rooms.private))
            except OSError:  # not yet, or not any more
                await anyio.sleep(_ASK_AGAIN_S)
                continue
            self._peer = Peer(stream, answers, self._hear)
            self._came.set()
            await self._peer.serve()
            self._peer, self._came = None, anyio.Event()
            self._news.set()  # it goes after its last word, for which it gives no sign

    def _hear(self, settled: Sequence[int], held: Sequence[dict[str, Any]] = ()) -> None:
        for each in held:
            self._shared.hold(**each)
        self._settled += settled
        self._has_told = True  # what it has under way; what it had before that it has written down
        self._news.set()
        self.live.log.wake()

    async def _pass_stop_on(self) -> None:
        stop = self.live.stop
        with anyio.CancelScope() as waiting, stop.ends(waiting):
            await anyio.sleep_forever()
        while stop.is_asked:
            try:
                await self._ask("stop", reason=stop.reason, grace_s=stop.grace_s)
            except HutchError:
                await anyio.sleep(_ASK_AGAIN_S)  # also where it has just gone: its end is being read
                continue
            return

    async def _ask(self, name: str, **values: object) -> Any:  # noqa: ANN401 - what JSON can hold
        with anyio.move_on_after(_ANSWERS_WITHIN_S):
            while (peer := self._peer) is None:
                await self._came.wait()
            return await peer.ask(name, **values)
        raise HutchError(GONE, f"run {self.live.id} does not answer", f"see: hutch show {self.live.id}")


def _uncounted(network: Network) -> Network:
    """Return what an agent's own runs reach: bytes that are bounded two processes would have to count."""
    bounded = tuple(network.max_bytes)
    allow = tuple(
        rule
        for rule in network.allow
        if not any(one.includes(rule.pattern) or rule.pattern.includes(one) for one in bounded)
    )
    return replace(network, allow=allow, deny=(*network.deny, *map(Rule, bounded)), max_bytes={})
