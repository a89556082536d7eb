"""Logs and files by their addresses."""

import json

import pytest
from mcp import Client, MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, ResourceTemplateReference, TextResourceContents

from hutch_mcp_tools.resources import LOG_BYTES
from hutch_mcp_tools.volume_resources import FILE_BYTES, TEMPLATE
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


async def test_a_volume_is_listed_by_its_root_and_read_as_a_folder(
    client: Client, service: FakeService
) -> None:
    await service.put_volume("web", {"a/b.txt": b"hello"})
    await service.put_volume("team/web", {"f": b"theirs"})
    listed = {resource.name: resource.uri for resource in (await client.list_resources()).resources}
    assert listed == {"web": "hutch://volumes/web/", "team/web": "hutch://volumes/team%2Fweb/"}
    assert [entry["name"] for entry in json.loads(await read(client, listed["web"]))["entries"]] == ["a"]
    assert await read(client, f"{listed['team/web']}f") == "theirs"


async def test_an_address_may_be_of_a_snapshot(client: Client, service: FakeService) -> None:
    await service.put_volume("web", {"odd name?": b"one"})
    await service.put_volume("web", {"odd name?": b"two"})
    await service.tag_volume("web", "v1", "1")
    address = "hutch://volumes/web/odd%20name%3F"
    assert await read(client, address) == "two"
    assert await read(client, f"{address}?at=1") == "one"
    assert await read(client, f"{address}?at=v1") == "one"
    with pytest.raises(MCPError) as refused:
        await client.read_resource(f"{address}?at=3")
    assert refused.value.error.code == INVALID_PARAMS


@pytest.mark.parametrize(
    ("argument", "begun", "known", "found"),
    [
        ("name", "w", {}, ["web"]),
        ("path", "", {"name": "web"}, ["a/", "ab"]),
        ("path", "a/", {"name": "web"}, ["a/b.txt"]),
        ("path", "a/", {"name": "nobody"}, []),
        ("path", "a/b", {}, []),
        ("at", "", {"name": "web"}, ["v1", "1"]),
    ],
)
async def test_addresses_are_completed(
    client: Client,
    service: FakeService,
    argument: str,
    begun: str,
    known: dict[str, str],
    found: list[str],
) -> None:
    await service.put_volume("web", {"a/b.txt": b"hello", "ab": b""})
    await service.put_volume("other", {"c": b""})
    await service.tag_volume("web", "v1")
    ref = ResourceTemplateReference(type="ref/resource", uri=TEMPLATE)
    offered = await client.complete(ref, {"name": argument, "value": begun}, context_arguments=known)
    assert offered.completion.values == found
