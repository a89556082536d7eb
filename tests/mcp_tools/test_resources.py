"""Logs and files by their addresses."""

import pytest
from mcp import Client, MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, TextResourceContents

from hutch_mcp_tools.resources import FILE_BYTES, LOG_BYTES
from support.mcp_answers import call
from support.mcp_service import FakeService


async def read(client: Client, uri: str) -> str:
    content = (await client.read_resource(uri)).contents[0]
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_a_log_comes_as_it_was_written(client: Client, service: FakeService) -> None:
    run_id = service.put_run(stdout=b"\x1b[31mred\r\n", stderr=b"err")
    assert await read(client, f"hutch://runs/{run_id}/stdout") == "\x1b[31mred\r\n"
    assert await read(client, f"hutch://runs/{run_id}/stderr") == "err"


async def test_of_a_long_log_the_end_comes_and_says_so(client: Client, service: FakeService) -> None:
    run_id = service.put_run(stdout=b"0123456789" * (LOG_BYTES // 10 + 100))
    notice, _, log = (await read(client, f"hutch://runs/{run_id}/stdout")).partition("\n")
    left_out = 10 * (LOG_BYTES // 10 + 100) - LOG_BYTES
    paged = f'get_run(run_id="{run_id}", stream="stdout", cursor=0)'
    assert notice == f"[…{left_out} bytes left out; {paged} pages through all]"
    assert len(log) == LOG_BYTES


async def test_a_session_has_the_log_of_its_newest_run(client: Client) -> None:
    await call(client, "start_agent", agent="echo", prompt="hello")
    assert await read(client, "hutch://sessions/s-0001/log") == "hello"


async def test_a_file_of_a_volume_is_text_where_it_is(client: Client, service: FakeService) -> None:
    await service.put_volume("web", {"a/b.txt": b"hello", "big": b"x" * (FILE_BYTES + 1)})
    assert await read(client, "hutch://volumes/web/a/b.txt") == "hello"
    with pytest.raises(MCPError) as refused:
        await read(client, "hutch://volumes/web/big")
    assert refused.value.error.code == INTERNAL_ERROR
    assert refused.value.error.message.startswith("error: file_too_large: the file has 4194305 bytes\nhint: ")


@pytest.mark.parametrize(
    "uri",
    [
        "hutch://runs/nobody/stdout",
        "hutch://sessions/nobody/log",
        "hutch://volumes/web/nothing",
        "hutch://volumes/web/../other/f",
        "hutch://volumes/web/%2e%2e/other/f",
        "hutch://volumes/web//etc/passwd",
        "hutch://nothing",
    ],
)
async def test_what_is_not_there_or_would_climb_is_not_found(
    client: Client, service: FakeService, uri: str
) -> None:
    await service.put_volume("web", {"f": b""})
    await service.put_volume("other", {"f": b""})
    with pytest.raises(MCPError) as refused:
        await client.read_resource(uri)
    assert refused.value.error.code == INVALID_PARAMS
