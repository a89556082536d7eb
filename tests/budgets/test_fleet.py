"""Many at once that turn dear: what each asks for is held back, so they overshoot by one answer at most."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import anyio
import h11
import pytest
from anyio.abc import ByteStream

from hutch.budgets import Limit, Most
from hutch.budgets.records import Ticket
from hutch.egress.exchange.body import Body
from support.budget_house import CENT, House, status, statuses, usd
from support.exchange_world import HOST, Server, World
from support.streams import LONG_S

MODEL = "claude-opus-4-5"  # of the list: 5 dollars a million in, 25 out
DEAR = Decimal(1)  # what an answer of 40,000 tokens costs
RUNS, EACH = 5, 4


def asking(most: int | None, path: str = "messages", model: str = MODEL) -> bytes:
    name = {"messages": "max_tokens", "responses": "max_output_tokens"}[path]
    bound = {} if most is None else {name: most}
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "model": model, **bound}).encode()
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer(output_tokens: int, model: str = MODEL) -> bytes:
    usage = {"input_tokens": 0, "output_tokens": output_tokens}
    return json.dumps({"type": "message", "model": model, "usage": usage}).encode()


@dataclass
class Slow(Server):
    """Answers the first when `together` are under way."""

    together: int = 1
    at_once: int = 0
    most_at_once: int = 0
    are_here: anyio.Event = field(default_factory=anyio.Event)

    async def _answer(self, http: h11.Connection, stream: ByteStream) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once == self.together:
            self.are_here.set()
        with anyio.fail_after(60):
            await self.are_here.wait()
        await super()._answer(http, stream)
        self.at_once -= 1

    def turn(self, body: bytes, together: int) -> None:
        self.body, self.together, self.are_here = [body], together, anyio.Event()


@asynccontextmanager
async def fleet(house: House, server: Server, limit: Limit) -> AsyncIterator[list[World]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(house.asking(server, limit, run_id=f"r-{number}"))
            for number in range(RUNS)
        ]


async def ask_all(worlds: list[World], ask: bytes) -> list[int]:
    got: list[int] = []

    async def one(here: World) -> None:
        got.append(status(await here.ask(ask)))

    async with anyio.create_task_group() as group:
        for here in worlds:
            for _ in range(EACH):
                group.start_soon(one, here)
    return got


async def spent(house: House) -> Decimal:
    rows = [row for number in range(RUNS) for row in await house.rows(f"r-{number}")]
    return sum((row.charged_usd for row in rows), Decimal(0))


async def cheap_first(worlds: list[World], server: Slow) -> None:
    server.turn(answer(40), 1)  # a tenth of a cent
    for here in worlds:
        assert await statuses(here, 2, asking(40)) == [200, 200]


@pytest.mark.parametrize("path", ["messages", "responses"])
async def test_a_fleet_that_turns_dear_overshoots_by_less_than_one_answer(house: House, path: str) -> None:
    limit, server = Limit("day", "day", usd=Decimal("3.5")), Slow()
    async with fleet(house, server, limit) as worlds:
        await cheap_first(worlds, server)
        cheap = len(server.seen)
        server.turn(answer(40_000), 4)
        got = await ask_all(worlds, asking(40_000, path))
    assert got.count(200) == len(server.seen) - cheap == 4
    assert got.count(400) == RUNS * EACH - 4
    assert limit.usd is not None
    assert limit.usd <= await spent(house) < limit.usd + DEAR


async def test_what_names_no_bound_may_be_as_dear_as_its_model_can(house: House) -> None:
    limit, server = Limit("day", "day", usd=Decimal("3.5")), Slow()
    async with fleet(house, server, limit) as worlds:
        await cheap_first(worlds, server)
        server.turn(answer(128_000), 2)
        await ask_all(worlds, asking(None))
    assert Decimal("3.5") <= await spent(house) < Decimal("3.5") + Decimal("3.2")


async def test_a_fleet_in_tokens_does_not_either(house: House) -> None:
    limit, server = Limit("ever", "principal", tokens=100_000), Slow()
    async with fleet(house, server, limit) as worlds:
        await cheap_first(worlds, server)
        server.turn(answer(40_000), 3)
        await ask_all(worlds, asking(40_000))
        rows = [row for number in range(RUNS) for row in await house.rows(f"r-{number}")]
    assert 100_000 <= sum(row.charged_tokens for row in rows) < 140_000


async def test_who_asks_for_little_goes_at_once(house: House) -> None:
    limit, server = Limit("day", "day", usd=Decimal("3.5")), Slow(body=[answer(40)], together=RUNS * EACH)
    async with fleet(house, server, limit) as worlds:
        assert await ask_all(worlds, asking(400)) == [200] * RUNS * EACH
    assert server.most_at_once == RUNS * EACH


async def test_more_than_is_left_may_be_asked_for_alone(house: House) -> None:
    """Else a small budget could not be spent: agents ask for much more than they use."""
    server = Slow(body=[answer(400)])  # a cent
    async with house.asking(server, usd("0.05")) as here:
        got = await ask_all([here] * 2, asking(128_000))
    assert sorted(got) == [200] * 5 + [400] * 3
    assert server.most_at_once == 1
    (row,) = await house.rows()
    assert row.charged_usd == 5 * CENT


async def test_a_request_that_failed_holds_nothing_back(house: House) -> None:
    server = Server(status=529, body=[b"{}"])
    async with house.asking(server, usd("0.05")) as here:
        assert await ask_all([here], asking(128_000)) == [529] * EACH
        server.status, server.body = 200, [answer(400)]
        assert await statuses(here, 1, asking(128_000)) == [200]


async def test_what_a_client_asked_that_goes_while_it_waits_is_not_sent_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, has_gone = anyio.Event(), anyio.Event()
    until_gone = Body.until_gone

    async def watched(body: Body) -> None:
        waits.set()
        await until_gone(body)
        has_gone.set()

    server = Server(body=[answer(400)])
    async with house.run(usd("0.05")) as purse, house.asking(server, usd("0.05")) as here:
        first = await purse.admit(Most())
        assert isinstance(first, Ticket)
        with monkeypatch.context() as patched, anyio.fail_after(LONG_S):
            patched.setattr(Body, "until_gone", watched)
            async with here.dial() as stream:
                await stream.send(asking(128_000).replace(b"HOST", f"{HOST}:{here.port}".encode()))
                await waits.wait()
            await has_gone.wait()
        purse.settle(first, HOST, None)
        assert await statuses(here, 1, asking(128_000)) == [200]
    assert len(server.seen) == 1
