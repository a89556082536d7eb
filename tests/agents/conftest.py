"""What turns of real agents have in common."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.agent_sandbox import Model, scripted_model


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[Model]:
    async with scripted_model(tmp_path / "model") as model:
        yield model


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"
