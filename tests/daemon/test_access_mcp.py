"""Who may do what over MCP: by the real client over HTTP and stdio, and by raw requests."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client as McpClient
from mcp import MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ResourceTemplateReference, TextContent

from support.access_house import ABSENT, HIDDEN, Era, House, code_of, open_house, post
from support.daemon import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@asynccontextmanager
async def over_http(house: House, token: str, mode: Era) -> AsyncGenerator[McpClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        transport = streamable_http_client(f"{house.daemon.url}/mcp", http_client=http)
        async with McpClient(transport, mode=mode) as client:
            yield client


async def said(client: McpClient, tool: str, **arguments: object) -> str:
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer.content[0], TextContent)
    return answer.content[0].text


async def completed(client: McpClient, argument: str, begun: str, known: dict[str, str]) -> list[str]:
    reference = ResourceTemplateReference(uri="hutch://volumes/{name}/{+path}{?at}")
    answer = await client.complete(reference, {"name": argument, "value": begun}, known)
    return answer.completion.values


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_mcp_over_http_has_the_view_of_its_token(house: House, mode: Era) -> None:
    mine = await run(house.ci, "echo secret")
    as_eve, as_ci = (over_http(house, house.tokens[name], mode) for name in ("eve", "ci"))
    async with as_eve as eve, as_ci as ci:
        assert "secret" in await said(ci, "get_run", run_id=mine.run_id)
        assert (await said(eve, "get_run", run_id=mine.run_id)).startswith("error: run_unknown: ")
        assert (await said(eve, "stop_run", run_id=mine.run_id)).startswith("error: run_unknown: ")
        assert (await said(ci, "read_volume", volume="web", path="/file")).endswith("x")
        for tool, more in (("read_volume", {}), ("write_volume", {"path": "f", "content": "x"})):
            hidden = await said(eve, tool, volume=HIDDEN, **more)
            assert hidden.startswith("error: volume_unknown: ")
            assert hidden == (await said(eve, tool, volume=ABSENT, **more)).replace(ABSENT, HIDDEN)
        told = await said(eve, "run_in_sandbox", command="true", volumes=[f"{HIDDEN}:/data:ro"])
        assert told.startswith("error: volume_unknown: ")
        told = await said(eve, "run_in_sandbox", command="true", volumes=["pub-docs:/data"])
        assert told.startswith("error: volume_read_only: ")
        assert HIDDEN not in await said(eve, "list_volumes")
        assert HIDDEN in await said(ci, "list_volumes")
        assert HIDDEN not in str((await eve.list_resources()).resources)
        assert HIDDEN in str((await ci.list_resources()).resources)
        assert await completed(ci, "name", "we", {}) == ["web"]
        assert await completed(eve, "name", "we", {}) == []
        for argument in ("path", "at"):
            assert await completed(ci, argument, "", {"name": HIDDEN}) != []
            assert await completed(eve, argument, "", {"name": HIDDEN}) == []
        for address in (
            f"hutch://runs/{mine.run_id}/stdout",
            f"hutch://volumes/{HIDDEN}/file",
            f"hutch://volumes/default%2F{HIDDEN}/file",
            f"hutch://volumes/{ABSENT}/file",
            "hutch://sessions/s-/log",
        ):
            with pytest.raises(MCPError):
                await eve.read_resource(address)
        assert (await ci.read_resource(f"hutch://volumes/{HIDDEN}/file")).contents
        assert (await ci.read_resource(f"hutch://runs/{mine.run_id}/stdout")).contents


async def test_an_mcp_session_is_found_by_its_own_token_alone(house: House) -> None:
    """Else whoever learns a session's id would act as the one who opened it."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "0"},
        },
    }
    opened = await post(house, "/mcp", house.tokens["ci"], hello)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-06-18"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await post(house, "/mcp", house.tokens["ci"], ready, **session)).status_code == 202
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "read_volume", "arguments": {"volume": HIDDEN}},
    }
    allowed = await post(house, "/mcp", house.tokens["ci"], call, **session)
    assert (allowed.status_code, "volume_unknown" in allowed.text) == (200, False)
    for token in (house.tokens["eve"], house.daemon.token):
        assert (await post(house, "/mcp", token, call, **session)).status_code == 404
    async with httpx2.AsyncClient(base_url=house.daemon.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {house.tokens['eve']}", **session}
        assert (await http.delete("/mcp", headers=headers)).status_code == 404
    assert (await post(house, "/mcp", house.tokens["ci"], call, **session)).status_code == 200
    revoked = await house.owner.create_token("ci")
    await house.owner.revoke_token(revoked.token_id)
    assert (await post(house, "/mcp", revoked.token or "", call, **session)).status_code == 401


async def test_over_stdio_a_token_is_as_good_as_over_http(house: House) -> None:
    made = house.daemon
    env = {**made.env, "HUTCH_CONFIG": str(made.folder / "config.toml"), "EVES": house.tokens["eve"]}
    words = ["-m", "hutch", "mcp", "--token-env", "EVES"]
    async with McpClient(StdioServerParameters(command=sys.executable, args=words, env=env)) as client:
        volumes = await said(client, "list_volumes")
        assert ("pub-docs" in volumes, HIDDEN in volumes) == (True, False)
        assert (await said(client, "read_volume", volume=HIDDEN)).startswith("error: volume_unknown: ")
    forged = {**env, "EVES": house.tokens["eve"] + "x"}
    async with McpClient(StdioServerParameters(command=sys.executable, args=words, env=forged)) as client:
        assert (await said(client, "list_volumes")).startswith("error: token_missing: ")


async def test_an_eager_caller_cannot_wait_beyond_the_bound(house: House) -> None:
    assert await code_of(house.eve.get_session("s-x", 3600)) == "limit_exceeded"
