"""A runner's socket: by it the daemon steers the run, and is asked what others have spent."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream

from hutch.budgets import Limit, Most, Refused
from hutch.errors import HutchError
from hutch.jobs.peer import GONE, Answer, Peer
from hutch.runner.telling import TellingRun
from hutch.runs.path.network_changes import change_rules, network_record
from hutch.runs.path.spending import give
from hutch.runs.path.suspending import hold, keep_deadline, refuse_idle
from hutch.runs.rooms import PathRooms
from hutch.supervisor import Stop
from hutch_mcp_tools.network_records import NetworkChange
from hutch_mcp_tools.usage_records import Budget

_PATIENCE_S = 30.0  # with a daemon that is away: it is started anew in a few seconds, if anybody starts it
_BETWEEN_S = 0.02  # between two signs that there is news
_SOCKET_MODE = 0o600


@dataclass(slots=True)
class Control:
    """Of one runner. The newest connection is the daemon's."""

    run_id: str
    stop: Stop
    rooms: PathRooms | None = None
    live: TellingRun | None = None
    _daemon: Peer | None = None
    _came: anyio.Event = field(default_factory=anyio.Event)
    _last: int = 0  # number of a request
    _held: dict[int, Most] = field(default_factory=dict)  # of requests that the daemon has let through
    _settled: list[int] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _hurries: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def listening(self, socket: Path) -> AsyncGenerator[None]:
        """Be reached at `socket`, by nobody but this user, for as long as the block."""
        socket.unlink(missing_ok=True)
        listener = await anyio.create_unix_listener(socket, mode=_SOCKET_MODE)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, self._serve)
            group.start_soon(self._tell_news)
            try:
                yield
            finally:
                socket.unlink(missing_ok=True)
            group.cancel_scope.cancel()

    def wake(self) -> None:
        """There is news: an event, or output."""
        self._news.set()

    def hurry(self) -> None:
        """The last news is there: no pause between two signs any more."""
        self._hurries.set()

    # What the daemon is asked ------------------------------------------------------------

    def judges(self, limit: Limit) -> bool:
        """With a door all of them: what its agent begins spends those of the run too."""
        return limit.per != "run" or (self.live is not None and bool(self.live.door_token))

    async def refuse_spent(self) -> None:
        """Raise HutchError `budget_spent` where what others share is spent already."""
        if (refused := await self._ask("refuse_spent")) is not None:
            raise HutchError(
                "budget_spent", refused, "ask the daemon's owner for more, or keep one of several attempts"
            )

    async def admit(self, most: Most, *, asks_model: bool) -> int | Refused:
        """Judge a request by what others share; while the daemon is away it waits, and then is refused."""
        self._last += 1
        number = self._last
        try:
            answer = await self._ask("admit", number=number, asks_model=asks_model, **asdict(most))
        except HutchError as error:
            return Refused(error.message)
        except BaseException:  # nobody waits for it any more; perhaps the daemon was about to let it through
            self.settle(number)
            raise
        if not isinstance(answer, int):
            return Refused(answer["why"], pauses=answer["pauses"])
        self._held[number] = most
        return number

    async def lend(self, passed: int) -> int | Refused:
        """Ask for bytes that others share; while the daemon is away it waits, and then there are none."""
        try:
            answer = await self._ask("lend", passed=passed)
        except HutchError as error:
            return Refused(error.message)
        return answer if isinstance(answer, int) else Refused(answer["why"])

    def settle(self, number: int) -> None:
        """Have given back what was held back for a request; an event has told what it came to."""
        self._held.pop(number, None)
        self._settled.append(number)
        self.wake()

    async def _ask(self, name: str, **values: object) -> Any:  # noqa: ANN401 - what JSON can hold
        """Ask the daemon, which may take its time; only while it is away that is bounded."""
        while True:
            with anyio.move_on_after(_PATIENCE_S):
                while self._daemon is None:
                    await self._came.wait()
            if (daemon := self._daemon) is None:
                raise HutchError(
                    "daemon_away",
                    "the daemon, which knows what others have spent, is away",
                    "start it: hutch serve",
                )
            try:
                return await daemon.ask(name, **values)
            except HutchError as error:
                if error.code != GONE:
                    raise
                self._lose(daemon)

    def _lose(self, daemon: Peer) -> None:
        if self._daemon is daemon:
            self._daemon, self._came = None, anyio.Event()

    # What the daemon asks ------------------------------------------------------------

    async def _serve(self, stream: SocketStream) -> None:
        answers: dict[str, Answer] = {
            "stop": self._stop,
            "suspend": self._suspend,
            "network": self._change_network,
            "budget": self._give,
        }
        peer = Peer(stream, answers)
        held = [{"number": number, **asdict(most)} for number, most in self._held.items()]
        await peer.tell("news", settled=[], held=held)  # before it is asked anything: it may be another one
        self._daemon = peer
        self._came.set()
        self.wake()
        await peer.serve()
        self._lose(peer)

    async def _tell_news(self) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            if self._daemon is not None:
                settled, self._settled = self._settled, []
                await self._daemon.tell("news", settled=settled)
            with anyio.move_on_after(_BETWEEN_S):
                await self._hurries.wait()

    async def _stop(self, reason: str, grace_s: float) -> None:
        self.stop.ask(reason, grace_s)

    async def _suspend(self, *, suspended: bool) -> None:
        live = refuse_idle(self.live, self.run_id)
        assert self.rooms is not None
        if suspended:
            await hold(self.rooms, live)
        else:
            live.standstill.end()
            keep_deadline(self.rooms, live, live.record.method, live.id)
        self._tell()

    async def _change_network(self, change: dict[str, Any], by: str) -> dict[str, Any]:
        live = refuse_idle(self.live, self.run_id)
        wanted = NetworkChange.model_validate(change)
        policy = change_rules(live.id, live.network, live.record.policy, wanted, by)
        live.change(policy=policy)
        return network_record(live.id, live.network.network, policy).model_dump(mode="json")

    async def _give(self, budget: dict[str, Any]) -> None:
        live = refuse_idle(self.live, self.run_id)
        give(live.purse, Budget.model_validate(budget))
        self._tell()

    def _tell(self) -> None:
        if self.live is not None:
            self.live.tell()
