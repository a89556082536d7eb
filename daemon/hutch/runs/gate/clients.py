"""Agents as clients: what is in a run's sandbox may have us begin further runs, never wider than its own.

    async with clients.during(live, plan):        # for as long as the run lives
        ...                                       # its door is open; at the end all that it began is ended

Its token is random, of this run alone, kept as a hash, and gone with it. By it a caller sees nothing but the
runs that it began itself and its run's own volumes, to be read.
"""

import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import anyio

from hutch.access import Level, Rights
from hutch.errors import HutchError, unwrapped
from hutch.policy import Plan, as_child, childs_wish, narrowed_to, shown
from hutch.runs.gate.answers import answers
from hutch.runs.gate.gate import gate
from hutch.runs.path.live import LiveRun
from hutch.runs.path.path import OneCommand
from hutch.runs.planning.asking import wish_of
from hutch.runs.planning.planning import plan_for
from hutch.runs.runs import Runs
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.run_records import LogChunk, LogRequest, RunRecord, RunRequest
from hutch_mcp_tools.service import SandboxService, ServiceError

_GRACE_S = 2.0  # for what it began, when it has ended itself
_MOST_BEGUN = 10_000  # runs; each stays on record
_MOST_KEPT = 16  # times what is kept of one run's output: of all that it begins, together
# Of the service, whose rules let a reader in
_READS = frozenset({"read_volume", "diff_volume", "list_volumes", "volume_stat", "volume_log", "volume_tags"})


@dataclass(slots=True)
class Client:
    """One run whose agent may call."""

    runs: Runs
    live: LiveRun
    plan: Plan
    began: list[str] = field(default_factory=list)  # runs, in their order
    is_over: bool = False
    _beginning: int = 0
    _kept_bytes: int = 0  # of the output of those that have ended

    @property
    def name(self) -> str:
        """Under which it is known as a caller: no principal is called so."""
        return f"run {self.live.id}"

    async def rights(self) -> Rights:
        """To its own volumes, as long as its principal may read them."""
        rooms = self.runs.rooms
        own = [volume for volume in self.plan.volumes if volume.at is None or volume.source]
        now = await rooms.access.rights(self.live.record.principal)
        names = [rooms.volume(volume.name) for volume in own]
        return Rights(shares={name.full: Level.READ for name in names if now.level(name) >= Level.READ})

    async def begin(self, request: RunRequest) -> LiveRun:
        """Begin a run for it. Raises HutchError `client_denied`, `busy`, and what its plan refuses."""
        self._refuse(request)
        self._beginning += 1
        try:
            if self.live.remote is not None:  # what it has told may count: its time, what it has spent
                await self.live.remote.caught_up()
            plan = await self._plan(request)
            child = await self.runs.admit(plan, shown(request.command), self.live.record.principal)
        finally:
            self._beginning -= 1
        child.parent = self.live
        self.began.append(child.id)
        if self.is_over:  # meanwhile
            child.stop.ask(self._why, 0)
        self.runs.tasks.start_soon(self._follow, child, plan, request.stdin)
        return child

    async def _follow(self, child: LiveRun, plan: Plan, stdin: bytes) -> None:
        try:
            await self.runs.follow(child, plan, OneCommand(child, plan, plan.command, stdin))
        finally:
            self._kept_bytes += child.log.size("stdout") + child.log.size("stderr")

    async def end(self) -> None:
        """Take no more, and end what was begun."""
        self.is_over = True
        async with anyio.create_task_group() as group:
            for run_id in self._at_work():
                group.start_soon(self.runs.stop, run_id, self._why, _GRACE_S)

    def _refuse(self, request: RunRequest) -> None:
        if self.is_over or self.live.stop.is_asked:
            raise HutchError("client_denied", "the run whose agent asks has ended, or is about to")
        if request.session_id or request.script or request.agent:
            raise HutchError(
                "client_denied",
                "from inside a sandbox commands are run in throw-away sandboxes only",
                "leave session_id out",
            )
        most_bytes = _MOST_KEPT * self.runs.rooms.config.daemon.log_max_bytes
        if len(self.began) >= _MOST_BEGUN or self._kept_bytes >= most_bytes:
            raise HutchError(
                "client_denied",
                f"no more is kept for one agent's run: it has begun {len(self.began)} runs, which wrote "
                f"{self._kept_bytes >> 20} MiB to their output",
                "its next turn begins anew",
            )
        if len(self._at_work()) + self._beginning >= self.plan.children:
            raise HutchError(
                "busy",
                f"{self.plan.children} runs of this agent are at work already",
                "wait for one to end with get_run, or end it with stop_run",
            )

    async def _plan(self, request: RunRequest) -> Plan:
        rooms, live, parent = self.runs.rooms, self.live, self.plan
        if live.purse is not None:  # which may have been given more since
            parent = replace(parent, budgets=live.purse.limits)
        network, principal = live.network.network, live.record.principal
        left_s = live.wall_s - (time.monotonic() - live.began_at)
        if parent.method not in rooms.config.methods:
            raise HutchError("client_denied", f"method {parent.method} is not configured any more")
        if not live.began_at or left_s <= 0:
            raise HutchError("client_denied", "the run whose agent asks has no time left")
        config = narrowed_to(rooms.config, parent, network, principal, left_s)
        wish = childs_wish(wish_of(request), parent)
        plan = await plan_for(rooms, wish, principal, config=config, rights=await self.rights())
        return as_child(plan, parent, network, live.id)

    def _at_work(self) -> list[str]:
        return [run_id for run_id in self.began if self.runs.live(run_id) is not None]

    @property
    def _why(self) -> str:
        return f"run {self.live.id}, whose agent began it, has ended"


class Clients:
    """All of this daemon, by the hashes of their tokens."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._by_digest: dict[bytes, Client] = {}
        self.services: dict[str, SandboxService] = {}  # by their names as callers
        self.whole: Mapping[str, SandboxService] = {}  # of principals, behind no gate
        self.on_end: Callable[[str], None] = lambda _: None  # told the name of a caller who is gone

    def caller_of(self, token: str) -> str | None:
        """Return whose token this is, as a caller; None: nobody's, or of a run that has ended."""
        client = self._by_digest.get(_digest(token))
        return client.name if client and not client.is_over else None

    @asynccontextmanager
    async def during(self, live: LiveRun, plan: Plan | None) -> AsyncGenerator[None]:
        """Let a run's sandbox call for the length of the block, if its plan says so.

        It is known by its token, or by a new one where it has none yet.
        """
        whole = self.whole.get(live.record.principal)
        if plan is None or not plan.children or whole is None:  # nobody is called so any more
            yield
            return
        begun = await self._runs.rooms.state.begun_by(live.id)
        client = Client(self._runs, live, plan, list(begun), _kept_bytes=sum(begun.values()))
        live.door_token = live.door_token or new_token()
        digest = _digest(live.door_token)
        gated = gate(whole, self._runs.rooms.access, live.record.principal, client.rights)
        self._by_digest[digest] = client
        self.services[client.name] = cast("SandboxService", ClientService(client, whole, gated))
        try:
            with unwrapped():
                async with anyio.create_task_group() as group:
                    group.start_soon(_end_with, client)
                    yield
                    group.cancel_scope.cancel()
        finally:
            del self._by_digest[digest], self.services[client.name]
            self.on_end(client.name)
            with anyio.CancelScope(shield=True):
                await client.end()


class ClientService:
    """The service as such a caller may use it: a method that is not here is refused."""

    def __init__(self, client: Client, whole: SandboxService, gated: SandboxService) -> None:
        self._client = client
        self._whole = whole
        self._gated = gated

    async def run(self, request: RunRequest, wait_s: float, events: Events | None = None) -> RunRecord:
        child = await self._begin(request)
        return await self._whole.get_run(child.id, wait_s, events)

    async def get_run(self, run_id: str, wait_s: float = 0, events: Events | None = None) -> RunRecord:
        return await self._whole.get_run(self._own(run_id), wait_s, events)

    async def list_runs(
        self, limit: int = 20, session_id: str | None = None, *, live: bool = False
    ) -> list[RunRecord]:
        newest = [await self._whole.get_run(run_id) for run_id in self._client.began[: -limit - 1 : -1]]
        return [run for run in newest if session_id is None and not (live and run.is_ended)]

    async def read_log(self, request: LogRequest) -> LogChunk:
        return await self._whole.read_log(request.model_copy(update={"run_id": self._own(request.run_id)}))

    async def stop_run(self, run_id: str, grace_s: float | None = None) -> RunRecord:
        return await self._whole.stop_run(self._own(run_id), grace_s)

    @answers
    async def _begin(self, request: RunRequest) -> LiveRun:
        return await self._client.begin(request)

    def _own(self, text: str) -> str:
        """Return the id of a run that it began, which `text` begins; others are not there."""
        found = [run_id for run_id in self._client.began if run_id.startswith(text)] if text else []
        if len(found) != 1:
            raise ServiceError(
                "run_unknown", f"no run is called {text[:80]!r}", "they are those that you began"
            )
        return found[0]

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        if name in _READS:
            return cast("Callable[..., Awaitable[object]]", getattr(self._gated, name))

        async def refuse(*_: object, **__: object) -> None:
            raise ServiceError("client_denied", f"from inside a sandbox nobody may call {name}")

        return refuse


async def _end_with(client: Client) -> None:
    """End what it began as soon as it is asked to end itself, or has."""
    with anyio.CancelScope() as asked, client.live.stop.ends(asked):
        await client.live.ended.wait()
    await client.end()


def new_token() -> str:
    """Return a token of one run's."""
    return secrets.token_urlsafe(32)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
