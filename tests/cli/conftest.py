from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.config import Config
from hutch_mcp_tools.service import SandboxService
from support.mcp_service import FakeService

Hutch = Callable[..., int]


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(None, tmp_path / "cache")  # type: ignore[arg-type]  # nothing is started here


@pytest.fixture
def hutch(service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hutch:
    """The command line on the fake service; a busy machine is no reason to say what it waits for."""
    monkeypatch.setattr("hutch.cli.waiting._PATIENCE_S", 100.0)

    @asynccontextmanager
    async def connect(_: Config) -> AsyncGenerator[SandboxService]:
        yield service

    return lambda *arguments: main(
        [str(word) for word in arguments], Invocation(env={"HOME": str(tmp_path)}, connect=connect)
    )
