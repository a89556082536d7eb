"""`hutch mcp`: the same tools over stdin and stdout, by a real client."""

import re
import signal
import sys
from pathlib import Path

import anyio
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


async def test_over_the_daemons_death_it_says_what_to_call_and_has_a_daemon_again(tmp_path: Path) -> None:
    named = anyio.Event()
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert (progress > 0, total) == (True, None)
        heard.append(message or "")
        named.set()

    async with daemon(tmp_path / "d") as made, Client(over_stdio(made)) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_when_heard, made, named)
            answer = await client.call_tool("run_in_sandbox", {"command": "sleep 60"}, progress_callback=hear)
        assert isinstance(answer.content[0], TextContent)
        found = re.search(r"get_run\(run_id=\"(r-\w+)\", wait_s=45\)", answer.content[0].text)
        assert (answer.is_error, found is not None) == (True, True)
        assert found is not None
        assert found[0] in heard[0]
        again = await client.call_tool("get_run", {"run_id": found[1]})
        assert isinstance(again.content[0], TextContent)
        assert "status=lost" in again.content[0].text.splitlines()[0]
        async with made.client() as service:
            await service.shut_down()


async def kill_when_heard(made: Daemon, named: anyio.Event) -> None:
    await named.wait()
    await made.end(signal.SIGKILL)
