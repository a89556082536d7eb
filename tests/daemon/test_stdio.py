"""`hutch mcp`: the same tools over stdin and stdout, by a real client."""

import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import TextContent

from support.daemon import Daemon, daemon

pytestmark = pytest.mark.slow


def over_stdio(made: Daemon) -> StdioServerParameters:
    env = {**made.env, "HUTCH_CONFIG": str(made.folder / "config.toml")}
    return StdioServerParameters(command=sys.executable, args=["-m", "hutch", "mcp"], env=env)


async def test_a_tool_is_called_over_stdio(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, Client(over_stdio(made)) as client:
        assert len((await client.list_tools()).tools) == 13
        answer = await client.call_tool("run_in_sandbox", {"command": "echo hello; exit 3"})
        assert isinstance(answer.content[0], TextContent)
        lines = answer.content[0].text.splitlines()
        assert lines[0].startswith("exit_code=3 status=exited")
        assert "hello" in lines


async def test_it_starts_the_daemon_when_none_runs(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        await made.end()
        async with Client(over_stdio(made)) as client:
            assert not (await client.call_tool("run_in_sandbox", {"command": "true"})).is_error
        async with made.client() as service:
            await service.shut_down()
