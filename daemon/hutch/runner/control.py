"""A runner's socket: by it the daemon steers the run, and is asked what others have spent."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketStream

from hutch.budgets import Refused
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

    async def refuse_spent(self) -> None:
        """Raise HutchError `budget_spent` where what others share is spent already."""
        if (refused := await self._ask("refuse_spent")) is not None:
            raise HutchError("budget_spent", refused, "ask the daemon's owner for more")

    async def admit(self, *, asks_model: bool) -> int | Refused:
        """Judge a request by what others share; while the daemon is away it waits, and then is refused."""
        try:
            answer = await self._ask("admit", asks_model=asks_model)
        except HutchError as error:
            return Refused(error.message)
        if isinstance(answer, int):
            return answer
        return Refused(answer["why"], pauses=answer["pauses"])

    def settle(self, number: int) -> None:
        """Have given back what was held back for a request; an event has told what it came to."""
        self._settled.append(number)
        self.wake()

    async def _ask(self, name: str, **values: object) -> Any:  # noqa: ANN401 - what JSON can hold
        with anyio.move_on_after(_PATIENCE_S):
            while True:
                while self._daemon is None:
                    await self._came.wait()
                try:
                    return await self._daemon.ask(name, **values)
                except HutchError as error:
                    if error.code != GONE:
                        raise
                    self._daemon, self._came = None, anyio.Event()
        raise HutchError(
            "daemon_away",
            "the daemon, which knows what others have spent, is away",
            "start it: hutch serve",
        )

    # What the daemon asks ------------------------------------------------------------

    async def _serve(self, stream: SocketStream) -> None:
        answers: dict[str, Answer] = {
            "stop": self._stop,
            "suspend": self._suspend,
            "network": self._change_network,
            "budget": self._give,
        }
        peer = Peer(stream, answers)
        self._daemon = peer
        self._came.set()
        self.wake()
        await peer.serve()
        if self._daemon is peer:
            self._daemon, self._came = None, anyio.Event()

    async def _tell_news(self) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            if self._daemon is not None:
                settled, self._settled = self._settled, []
                await self._daemon.tell("news", settled=settled)  # another daemon holds nothing back for us
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
