"""A daemon with a workspace that each test finds empty, run by root and by an ordinary user."""

import subprocess
from collections.abc import AsyncGenerator

import pytest

from support.contract_column import ORDINARY_USER, ROOT_USER
from support.workspace_house import House, house


@pytest.fixture(params=[ROOT_USER, ORDINARY_USER], scope="module")
async def served(request: pytest.FixtureRequest) -> AsyncGenerator[House]:
    async with house(request.param) as made:
        yield made


@pytest.fixture
def here(served: House) -> House:
    subprocess.run(
        ["find", str(served.folder), "-ignore_readdir_race", "-mindepth", "1", "-delete"], check=True
    )
    return served
