"""The house of the tests of budgets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hutch.budgets import Accounts
from hutch.state.store import open_state
from support.budget_house import PRICES, House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_state(tmp_path / "state.db") as state:
        yield House(state, Accounts(state, PRICES))
