"""What a run holds back of budgets that others share ends with it, however it ended."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hutch.budgets import Accounts, Most
from hutch.budgets.accounts import Key
from hutch.budgets.records import Ticket
from hutch.jobs import Job, JobFolder
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.rooms import Rooms
from hutch.runs.runners.following import Following, RunnerDiedError
from hutch.state import Run
from hutch.state.store import open_state
from hutch_mcp_tools.run_records import RunRequest
from support.budget_house import PRICES


async def test_a_runner_that_was_killed_with_a_request_under_way_holds_nothing_back(tmp_path: Path) -> None:
    async with open_state(tmp_path / "state.db") as state:
        rooms = SimpleNamespace(
            state=state, accounts=Accounts(state, PRICES), prices=PRICES, private=tmp_path, logs=tmp_path
        )
        folder = JobFolder(tmp_path / "r-1")
        folder.make()
        folder.events.touch()  # it had begun, and nobody takes it any more
        live = LiveRun(
            Run(id="r-1", status="running", command="x", method="none", created_at=1.0),
            RunLog(tmp_path / "log", 1 << 20),
            1 << 20,
        )
        job = Job(version=1, id="r-1", run=RunRequest(command="x"))
        following = Following(cast("Rooms", rooms), live, folder, job)
        account = await rooms.accounts.account(Key("principal", "owner"))
        following._shared._tickets[1] = Ticket("2026-11-21", [(account, account.hold_back(Most()))])
        assert len(account.in_flight) == 1
        with pytest.raises(RunnerDiedError):
            await following.run()
        assert account.in_flight == []
