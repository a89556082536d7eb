"""Budgets over real exchanges: a client, the run's meter, and a model on loopback."""

import json
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from hutch.budgets import Accounts, Limit, open_purse
from hutch.budgets.records import Ticket, Told, Whose
from hutch.egress.meter import Price, Prices
from hutch.errors import HutchError
from hutch.state.store import open_state
from support.budget_house import ASK, MESSAGE, PRICES, House, metered, status, statuses, usd
from support.exchange_world import Server, World
from support.streams import LONG_S


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
            with anyio.fail_after(LONG_S):
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


# The first request of an account ------------------------------------------------------------


@pytest.mark.parametrize(("budget", "together"), [("1", True), ("0.10", False)])
async def test_first_requests_go_together_where_what_others_paid_leaves_room_for_it(
    house: House, budget: str, together: bool
) -> None:
    async with house.run(usd(budget), run_id="r-0") as purse:
        assert isinstance(await purse.admit(), Ticket)
        with anyio.move_on_after(0.2) as waited:
            await purse.admit()
        assert waited.cancelled_caught  # nobody knows what one costs
    async with house.asking(Server(body=[MESSAGE])) as here:
        assert await statuses(here, 1) == [200]
    async with house.run(usd(budget), run_id="r-2") as purse:
        assert isinstance(await purse.admit(), Ticket)
        with anyio.move_on_after(LONG_S if together else 0.2) as waited:
            assert isinstance(await purse.admit(), Ticket)
        assert waited.cancelled_caught is not together
