from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.daemon import Daemon, daemon


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    """The daemon as it is shipped, its token on."""
    async with daemon(tmp_path_factory.mktemp("daemon")) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder
