from collections.abc import Iterator
from pathlib import Path

import pytest

from hutch_launchers.launcher import Launcher
from support.launcher_methods import available
from support.public_net import PublicNet, public_net


@pytest.fixture
async def bubble() -> Launcher:
    return await available("bubblewrap")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[PublicNet]:
    with public_net(tmp_path) as net:
        yield net
