from collections.abc import AsyncGenerator

import pytest
from mcp import Client

from hutch_mcp_tools.progress import Pace
from hutch_mcp_tools.server import build_server
from support.mcp_service import FakeService, fake_service

QUICK = Pace(coalesce_s=0.02, heartbeat_s=0.05)


@pytest.fixture
async def service() -> AsyncGenerator[FakeService]:
    async with fake_service() as service:
        yield service


@pytest.fixture
async def client(service: FakeService) -> AsyncGenerator[Client]:
    async with Client(build_server(service, version="1.2.3", pace=QUICK)) as client:
        yield client
