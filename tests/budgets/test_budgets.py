"""Budgets over real exchanges: a client, the run's meter, and a model on loopback."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream

from hutch.budgets import Accounts, Limit, Meter, Purse, open_purse
from hutch.budgets.purse import Ticket, Told, Whose
from hutch.egress.meter import Price, Prices
from hutch.errors import HutchError
from hutch.origins import read_origin
from hutch.state import State, UsageRow
from hutch.state.store import open_state
from support.exchange_world import HOST, Server, World, world
from support.processes import free_port

CENT = Decimal("0.01")
PRICES = Prices({"model": Price(Decimal(10), Decimal(10))})  # of 1000 tokens: one cent
USAGE = {"input_tokens": 900, "output_tokens": 100}
MESSAGE = json.dumps({"type": "message", "model": "model", "usage": USAGE}).encode()
ASK = b"POST /v1/messages HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class House:
    """A daemon's state and accounts, and what its runs were told."""

    state: State
    accounts: Accounts
    nearly: list[str] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    goes_on: anyio.Event | None = None  # set: so that what is paused may go on; None: nothing can be paused

    async def pause(self, why: str) -> bool:
        self.paused.append(why)
        if self.goes_on is None:
            return False
        await self.goes_on.wait()
        return True

    @asynccontextmanager
    async def run(
        self, *limits: Limit, run_id: str = "r-1", session_id: str | None = None, principal: str = "owner"
    ) -> AsyncIterator[Purse]:
        whose = Whose(run_id, session_id, principal)
        told = Told(self.nearly.append, self.spent.append, self.pause)
        async with open_purse(self.state, self.accounts, PRICES, whose, limits, told) as purse:
            yield purse

    @asynccontextmanager
    async def asking(self, server: Server, *limits: Limit, **whose: str) -> AsyncIterator[World]:
        async with self.run(*limits, **whose) as purse, metered(server, purse) as here:
            yield here

    async def rows(self, run_id: str = "r-1") -> list[UsageRow]:
        return await self.state.usage(run_id=run_id)


@asynccontextmanager
async def metered(server: Server, purse: Purse) -> AsyncIterator[World]:
    port = free_port()
    async with world(server, [Meter(purse, [read_origin(f"{HOST}:{port}")])], port=port) as here:
        yield here


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_state(tmp_path / "state.db") as state:
        yield House(state, Accounts(state, PRICES))


def usd(amount: str, **said: object) -> Limit:
    return Limit("asked", "run", usd=Decimal(amount), **said)  # type: ignore[arg-type]


async def statuses(here: World, count: int, ask: bytes = ASK) -> list[int]:
    return [status(await here.ask(ask)) for _ in range(count)]


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found, answer
    return int(found[1])


# What is counted ------------------------------------------------------------


async def test_what_answers_used_is_summed_in_the_ledger(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE[:20], MESSAGE[20:]])) as here:
        assert await statuses(here, 3) == [200] * 3
    (row,) = await house.rows()
    assert (row.host, row.model, row.requests) == (HOST, "model", 3)
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (2700, 300, 3 * CENT)
    assert (row.incomplete, row.unpriced, row.charged_usd) == (0, 0, 3 * CENT)


async def test_a_server_is_asked_for_answers_that_can_be_read(house: House) -> None:
    server = Server(body=[MESSAGE])
    ask = ASK.replace(b"Host", b"Accept-Encoding: gzip, br\r\nHost")
    async with house.asking(server) as here:
        assert await statuses(here, 1, ask) == [200]
    assert {k.lower(): v for k, v in server.seen[0].headers.items()}["accept-encoding"] == "identity"


async def test_refusals_and_counting_tokens_use_nothing(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE], status=529)) as here:
        assert await statuses(here, 1) == [529]
    async with house.asking(Server(body=[b'{"input_tokens": 9}'])) as here:
        free = ASK.replace(b"messages", b"messages/count_tokens")
        assert await statuses(here, 1, free) == [200]
    assert await house.rows() == []


async def test_an_answer_that_breaks_off_is_a_lower_bound_and_is_charged_by_its_size(house: House) -> None:
    start = b'data: {"object": "chat.completion.chunk", "model": "model"}\n\n'
    chunk = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    ask = ASK.replace(b"messages", b"chat/completions").replace(
        b" 2\r\n\r\n{}", b" 8000\r\n\r\n" + b"x" * 8000
    )
    async with house.asking(Server(body=[start, chunk * 100])) as here:
        assert await statuses(here, 1, ask) == [200]
    (row,) = await house.rows()
    assert (row.model, row.requests, row.incomplete, row.input_tokens) == ("model", 1, 1, 0)
    assert row.charged_tokens > 1000
    assert row.charged_usd > row.cost_usd == 0


class _Breaking(Server):
    """Says more than it has."""

    async def __call__(self, stream: ByteStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"".join(self.body))


STARTED = {"type": "message_start", "message": {"model": "model", "usage": USAGE | {"output_tokens": 1}}}
WRITTEN = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 40}}


@pytest.mark.parametrize(
    "body",
    [
        [f"data: {json.dumps(event)}\n\n".encode() for event in (STARTED, *[WRITTEN] * 100)],
        [b'{"model": "model", "content": [{"text": "' + b"x" * 4000],
    ],
    ids=["stream", "whole"],
)
async def test_who_hangs_up_before_the_sums_come_pays_for_what_he_has_read(
    house: House, body: list[bytes]
) -> None:
    async with house.asking(_Breaking(body=body)) as here:
        await here.ask(ASK.replace(b"messages", b"messages?beta=true"))
    (row,) = await house.rows()
    assert row.incomplete == 1
    assert 1000 <= row.charged_tokens - row.input_tokens <= 1100
    assert row.output_tokens < 10  # what is told of it stays what the answer said


async def test_an_answer_that_cannot_be_read_is_charged_to_the_model_that_was_asked(house: House) -> None:
    body = b'{"model":"model","x":"%s"}' % (b"x" * 8000)
    ask = ASK.replace(b" 2\r\n\r\n{}", b" %d\r\n\r\n%s" % (len(body), body))
    server = Server(body=[b"\x1f\x8b" * 100], headers=[("Content-Encoding", "gzip")])
    async with house.asking(server) as here:
        assert await statuses(here, 1, ask) == [200]
    (row,) = await house.rows()
    assert (row.model, row.incomplete) == ("model", 1)
    assert row.charged_usd > CENT


async def test_names_of_models_without_end_are_summed(house: House) -> None:
    server = Server()
    async with house.asking(server) as here:
        for number in range(35):
            server.body = [MESSAGE.replace(b'"model", "usage', b'"m%d", "usage' % number)]
            assert await statuses(here, 1) == [200]
    rows = await house.rows()
    assert len(rows) == 33
    assert sum(row.requests for row in rows) == 35


# Limits ------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        usd("0.03"),
        Limit("asked", "run", tokens=3000),
        Limit("asked", "run", requests=3),
        Limit("week", "session", tokens=2500),
        Limit("mine", "day", usd=Decimal("0.025")),
        Limit("ever", "principal", usd=Decimal("0.021")),
    ],
)
async def test_the_request_beyond_a_limit_is_refused_in_the_apis_own_form(house: House, limit: Limit) -> None:
    server = Server(body=[MESSAGE])
    async with house.asking(server, limit, session_id="s-1") as here:
        assert await statuses(here, 5) == [200] * 3 + [400] * 2
        answer = await here.ask(ASK)
    assert len(server.seen) == 3
    error = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert error["type"] == "error"
    assert "is spent" in error["error"]["message"]
    assert len(house.spent) == 3


async def test_a_run_is_told_once_that_a_budget_is_nearly_spent(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE]), usd("0.05", soft=Decimal("0.6"))) as here:
        assert await statuses(here, 2) == [200] * 2
        assert house.nearly == []
        assert await statuses(here, 3) == [200] * 3
    assert house.nearly == ["the budget of this run: $0.03 of $0.05 are spent"]


async def test_what_asks_no_model_is_refused_too_and_ends_no_run(house: House) -> None:
    other = ASK.replace(b"messages", b"telemetry")
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1)) as here:
        assert await statuses(here, 1) == [200]
        assert await statuses(here, 1, other) == [400]
        assert house.spent == []
        assert await statuses(here, 1) == [400]
    assert len(house.spent) == 1


@pytest.mark.parametrize("count", [2, 50])
async def test_requests_in_parallel_do_not_pass_by_the_same_balance(house: House, count: int) -> None:
    server = Server(body=[MESSAGE])
    async with house.asking(server, usd("0.10")) as here:
        got: list[int] = []

        async def ask() -> None:
            got.append(status(await here.ask(ASK)))

        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(ask)
    assert got.count(200) == len(server.seen) == min(count, 10)
    assert got.count(400) == count - got.count(200)


async def test_runs_in_parallel_share_a_budget(house: House) -> None:
    limit = Limit("day", "day", usd=Decimal("0.10"))
    server = Server(body=[MESSAGE])
    async with AsyncExitStack() as stack:
        runs = [
            await stack.enter_async_context(house.asking(server, limit, run_id=f"r-{n}")) for n in range(4)
        ]

        async def ask(here: World) -> None:
            for _ in range(5):
                await here.ask(ASK)

        async with anyio.create_task_group() as group:
            for here in runs:
                group.start_soon(ask, here)
    assert len(server.seen) == 10


async def test_another_principal_has_another_days_budget(house: House) -> None:
    limit = Limit("day", "day", requests=2)
    async with house.asking(Server(body=[MESSAGE]), limit) as here:
        assert await statuses(here, 3) == [200, 200, 400]
    async with house.asking(Server(body=[MESSAGE]), limit, run_id="r-2", principal="ci") as here:
        assert await statuses(here, 3) == [200, 200, 400]


async def test_sums_outlive_the_daemon(house: House, tmp_path: Path) -> None:
    limit = Limit("day", "day", usd=Decimal("0.03"))
    async with house.asking(Server(body=[MESSAGE]), limit) as here:
        assert await statuses(here, 2) == [200] * 2
    async with open_state(tmp_path / "state.db") as state:
        again = House(state, Accounts(state, PRICES))
        async with again.asking(Server(body=[MESSAGE]), limit, run_id="r-2") as here:
            assert await statuses(here, 2) == [200, 400]
        with pytest.raises(HutchError, match=r"budget 'day' .* is spent: \$0.03 of \$0.03") as refused:
            async with again.run(limit, run_id="r-3"):
                pass
        assert refused.value.code == "budget_spent"


async def test_a_server_that_never_answers_holds_its_share_back(house: House) -> None:
    server = Server(body=[MESSAGE])
    async with house.run(usd("0.03")) as purse, metered(server, purse) as here:
        assert await statuses(here, 1) == [200]
        assert isinstance(await purse.admit(), Ticket)
        with anyio.move_on_after(0.2) as waited:
            assert await statuses(here, 2) == [200, 200]
        assert waited.cancelled_caught  # one cent is held back, so the second of these waits


# Paused ------------------------------------------------------------


async def test_a_request_beyond_a_budget_that_pauses_waits_for_more(house: House) -> None:
    house.goes_on = anyio.Event()
    limit = Limit("asked", "run", requests=2, pauses=True)
    async with house.run(limit) as purse, metered(Server(body=[MESSAGE]), purse) as here:
        assert await statuses(here, 2) == [200, 200]
        got: list[int] = []

        async def ask() -> None:
            got.extend(await statuses(here, 1))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            with anyio.fail_after(10):
                while not house.paused:
                    await anyio.sleep(0.01)
            assert got == []
            purse.add(Limit("asked", "run", requests=1))
            house.goes_on.set()
        assert got == [200]
        assert purse.state()[0]["spent"] == "3 of 3 requests"
    assert house.paused == ["the budget of this run is spent: 2 of 2 requests"]


async def test_what_cannot_be_paused_is_refused(house: House) -> None:
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1, pauses=True)) as here:
        assert await statuses(here, 2) == [200, 400]
    assert len(house.paused) == len(house.spent) == 1


async def test_a_run_without_a_budget_of_its_own_is_given_none(house: House) -> None:
    async with house.run(Limit("day", "day", requests=1)) as purse:
        with pytest.raises(HutchError) as refused:
            purse.add(Limit("asked", "run", requests=5))
        assert refused.value.code == "budget_fixed"


# Dollars need prices ------------------------------------------------------------

UNKNOWN = MESSAGE.replace(b'"model", "usage', b'"stranger", "usage')


async def test_a_model_without_a_price_spends_a_dollar_budget_at_once(house: House) -> None:
    async with house.asking(Server(body=[UNKNOWN]), usd("100")) as here:
        assert await statuses(here, 2) == [200, 400]
        answer = await here.ask(ASK)
    assert b"nobody knows what model 'stranger' costs" in answer
    (row,) = await house.rows()
    assert (row.unpriced, row.cost_pico_usd, row.input_tokens) == (1, 0, 900)


async def test_a_budget_in_tokens_needs_no_price(house: House) -> None:
    async with house.asking(Server(body=[UNKNOWN]), Limit("asked", "run", tokens=2000)) as here:
        assert await statuses(here, 3) == [200, 200, 400]


async def test_a_price_that_is_given_later_counts_for_what_was_used_before(house: House) -> None:
    limit = Limit("day", "day", usd=Decimal("0.03"))
    async with house.asking(Server(body=[UNKNOWN])) as here:
        assert await statuses(here, 2) == [200] * 2
    price = Prices({"stranger": Price(Decimal(10), Decimal(10))})
    whose, told = Whose("r-2", None, "owner"), Told(house.nearly.append, house.spent.append, house.pause)
    known = Accounts(house.state, price)
    async with (
        open_purse(house.state, known, price, whose, [limit], told) as purse,
        metered(Server(body=[UNKNOWN]), purse) as here,
    ):
        assert await statuses(here, 2) == [200, 400]


# What cannot be metered ------------------------------------------------------------


async def test_a_websocket_to_a_metered_host_is_refused(house: House) -> None:
    asks = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    ask = b"GET /v1/realtime HTTP/1.1\r\nHost: HOST\r\n" + asks
    server = Server()
    async with house.asking(server) as here, here.dial() as stream:
        await stream.send(ask.replace(b"HOST", f"{HOST}:{here.port}".encode()))
        assert status(await stream.receive()) == 400
    assert server.seen == []


@pytest.mark.parametrize(("limits", "expected"), [((), 200), ((usd("1"),), 400)])
@pytest.mark.parametrize(
    "path",
    [
        "messages/batches",
        "messages/b%61tches",
        "messages/%2562atches",
        "messages%2Fbatches",
        "messages%5Cbatches",
        "x/../batches",
        "audio/speech",
        "images/generations",
        "videos",
    ],
)
async def test_what_nobody_sees_the_use_of_is_refused_where_there_is_a_budget(
    house: House, path: str, limits: Sequence[Limit], expected: int
) -> None:
    ask = ASK.replace(b"messages", path.encode())
    async with house.asking(Server(body=[b"{}"]), *limits) as here:
        assert await statuses(here, 1, ask) == [expected]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"SEARCH"])
async def test_every_method_that_may_ask_a_model_is_metered(house: House, method: bytes) -> None:
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1)) as here:
        assert await statuses(here, 2, ASK.replace(b"POST", method)) == [200, 400]


async def test_an_escaped_path_asks_a_model_all_the_same(house: House) -> None:
    ask = ASK.replace(b"messages", b"m%65ssages")
    async with house.asking(Server(body=[MESSAGE]), Limit("asked", "run", requests=1)) as here:
        assert await statuses(here, 2, ask) == [200, 400]
    assert house.spent  # so the run ends
