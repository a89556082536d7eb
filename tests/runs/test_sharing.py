"""A runner asks the daemon for what runs share, over a real socket, and perhaps another daemon next."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from hutch.budgets import Accounts, Limit, Most
from hutch.budgets.accounts import Account, Key
from hutch.jobs import JobFolder
from hutch.jobs.peer import Peer
from hutch.runner.control import Control
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.rooms import Rooms
from hutch.runs.runners.sharing import Shared
from hutch.state import Run, State
from hutch.state.store import open_state
from hutch.supervisor import Stop
from support.budget_house import PRICES
from support.streams import LONG_S

DOLLAR = Most(Decimal(1), 100, is_named=True)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with open_state(tmp_path / "state.db") as state:
        yield state


@asynccontextmanager
async def following(state: State, folder: Path) -> AsyncIterator[Account]:
    """Be a daemon, with accounts of its own, for as long as the block."""
    accounts = Accounts(state, PRICES)
    limit = Limit("ever", "principal", usd=Decimal("0.5"))
    live = LiveRun(Run("r-1", "running", "x", "none", 1.0), RunLog(folder / "log", 1), 1)
    rooms = cast("Rooms", SimpleNamespace(state=state, accounts=accounts, prices=PRICES))
    shared = Shared.of(rooms, live, (limit,), JobFolder(folder / "r-1"))
    await shared.look()

    def hear(settled: list[int], held: list[dict[str, object]] | None = None) -> None:
        for each in held or ():
            shared.hold(**each)  # type: ignore[arg-type]
        shared.settle(settled)

    async with anyio.create_task_group() as tasks:
        peer = Peer(await anyio.connect_unix(folder / "s"), {"admit": shared.admit}, hear)
        tasks.start_soon(peer.serve)
        yield await accounts.account(Key("principal", "owner"))
        tasks.cancel_scope.cancel()


async def until_held(account: Account, count: int) -> None:
    with anyio.fail_after(LONG_S):
        while len(account.in_flight) != count:
            await anyio.sleep(0.01)


async def test_another_daemon_holds_back_what_the_one_before_it_let_through(
    state: State, tmp_path: Path
) -> None:
    control = Control("r-1", Stop())
    async with control.listening(tmp_path / "s"):
        async with following(state, tmp_path) as account:
            number = await control.admit(DOLLAR, asks_model=True)
            assert isinstance(number, int)
            assert [held.usd for held in account.in_flight] == [1]
        async with following(state, tmp_path) as account:
            await until_held(account, 1)
            assert account.in_flight[0].usd == 1
            control.settle(number)
            await until_held(account, 0)
        async with following(state, tmp_path) as account:
            assert isinstance(await control.admit(DOLLAR, asks_model=True), int)
            assert len(account.in_flight) == 1


async def test_a_request_waits_for_others_longer_than_for_a_daemon_that_is_away(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, let_through = Control("r-1", Stop()), []
    async with control.listening(tmp_path / "s"), following(state, tmp_path) as account:
        first = await control.admit(DOLLAR, asks_model=True)
        assert isinstance(first, int)
        monkeypatch.setattr("hutch.runner.control._PATIENCE_S", 0.01)

        async def second() -> None:
            let_through.append(await control.admit(DOLLAR, asks_model=True))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second)
            await anyio.sleep(0.1)
            assert let_through == []
            control.settle(first)
        assert let_through == [first + 1]
        assert len(account.in_flight) == 1


async def test_who_waits_no_longer_holds_nothing_back(state: State, tmp_path: Path) -> None:
    control = Control("r-1", Stop())
    async with control.listening(tmp_path / "s"), following(state, tmp_path) as account:
        first = await control.admit(DOLLAR, asks_model=True)
        assert isinstance(first, int)
        with anyio.move_on_after(0.05) as waited:
            await control.admit(DOLLAR, asks_model=True)
        assert waited.cancelled_caught
        control.settle(first)
        await until_held(account, 0)
        assert isinstance(await control.admit(DOLLAR, asks_model=True), int)
        assert len(account.in_flight) == 1


async def test_nothing_is_let_through_before_every_run_has_told_what_it_has_under_way(state: State) -> None:
    accounts = Accounts(state, PRICES)
    accounts.wait_for("r-1")
    accounts.wait_for("r-2")
    accounts.has_told("r-1")
    with anyio.move_on_after(0.05) as waited:
        await accounts.all_known()
    assert waited.cancelled_caught
    accounts.has_told("r-2")
    await accounts.all_known()
