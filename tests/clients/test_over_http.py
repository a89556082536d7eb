"""The SDK's own client over HTTP to the daemon, in both eras of the protocol."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from hutch.client import connect as connect_service
from support.daemon import Daemon
from support.mcp_answers import run_answer
from support.streams import LONG_S

pytestmark = pytest.mark.slow

Era = Literal["auto", "legacy"]
eras = pytest.mark.parametrize("era", ["auto", "legacy"])


@asynccontextmanager
async def connect(server: Daemon, era: Era) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=era) as client:
            yield client


@eras
async def test_a_cancelled_call_ends_its_run_though_that_said_nothing(server: Daemon, era: Era) -> None:
    async with connect(server, era) as client, connect_service(server.config) as service:
        before = {run.run_id for run in await service.list_runs()}
        with anyio.fail_after(LONG_S):
            async with anyio.create_task_group() as calls:
                calls.start_soon(client.call_tool, "run_in_sandbox", {"command": "sleep 1000"})
                started = set[str]()
                while not started:
                    runs = await service.list_runs()
                    started = {run.run_id for run in runs if run.status == "running"} - before
                calls.cancel_scope.cancel()
            run = await service.get_run(started.pop(), wait_s=45)
    assert run.status == "cancelled"


@eras
async def test_signs_of_life_arrive_while_a_call_waits(server: Daemon, era: Era) -> None:
    heard = set[str]()
    call = {"command": "n=0; while true; do n=$((n+1)); echo $n; sleep 0.3; done"}
    with anyio.fail_after(LONG_S):
        async with connect(server, era) as client, anyio.create_task_group() as calls:

            async def hear(progress: float, total: float | None, message: str | None) -> None:
                assert (progress > 0, total) == (True, None)
                if (message or "").isdigit():  # and no note of how far its start has come
                    heard.add(message or "")
                if len(heard) == 2:
                    calls.cancel_scope.cancel()

            await client.call_tool("run_in_sandbox", call, progress_callback=hear)
    assert len(heard) == 2


@eras
async def test_a_run_is_found_again_after_the_connection_is_gone(server: Daemon, era: Era) -> None:
    async with connect(server, era) as client:
        begun = await run_answer(client, command="echo up; read -t 1 line; echo down", wait_s=0)
    async with connect(server, era) as client:
        answer = await run_answer(client, "get_run", run_id=begun.facts["run"], wait_s=45)
    assert answer.sections["stdout"] == ["up", "down"]


async def test_a_request_over_the_limit_is_refused_and_the_next_call_works(server: Daemon) -> None:
    async with connect(server, "auto") as client:
        with pytest.raises(MCPError):
            await client.call_tool("write_volume", {"volume": "v", "path": "f", "content": "x" * (5 << 20)})
        assert (await run_answer(client, command="echo on")).sections["stdout"] == ["on"]
