"""Volumes through a client: text as it is, binaries by what they are, in parts what is large."""

import re
from base64 import b64decode, b64encode

import pytest
from mcp import Client
from mcp.types import ResourceLink, TextContent

from hutch_mcp_tools.tools.volumes import MAX_CONTENT
from support.mcp_answers import call, error_of, text_of
from support.mcp_service import FakeService


def without_time(text: str) -> str:
    return re.sub(r" updated=\S+", "", text)


async def test_a_file_is_written_and_read_back(client: Client, service: FakeService) -> None:
    written = await text_of(client, "write_volume", volume="web", path="a/b.txt", content="hello\nzwölf\n")
    assert without_time(written) == "volume=web snapshot=1 files=1 bytes=13"
    read = await text_of(client, "read_volume", volume="web", path="/a/b.txt")
    assert read == 'volume=web path="/a/b.txt" snapshot=1 kind=file size=13 bytes=0-13\n---\nhello\nzwölf\n'
    assert await service.file("web", "a/b.txt") == b"hello\nzw\xc3\xb6lf\n"


async def test_a_write_appends_overwrites_and_refuses(client: Client, service: FakeService) -> None:
    await call(client, "write_volume", volume="web", path="f", content="one")
    await call(
        client, "write_volume", volume="web", path="f", content="VFdP", encoding="base64", mode="append"
    )
    assert await service.file("web", "f") == b"oneTWO"
    error = await error_of(client, "write_volume", volume="web", path="f", content="")
    assert error == 'error: path_exists: \'/f\' exists\nhint: use mode="overwrite" or "append"'
    await call(client, "write_volume", volume="web", path="f", content="", mode="overwrite")
    assert await service.file("web", "f") == b""


async def test_content_that_is_no_base64_is_refused(client: Client, service: FakeService) -> None:
    error = await error_of(client, "write_volume", volume="v", path="f", content="not!", encoding="base64")
    assert error.startswith("error: content_invalid: the content is not base64")
    assert await service.list_volumes() == []


async def test_content_over_the_limit_says_how_to_send_it(client: Client, service: FakeService) -> None:
    size = MAX_CONTENT + 1
    error = await error_of(client, "write_volume", volume="v", path="f", content="x" * size)
    assert error == (
        f"error: request_too_large: the content has {size} bytes, and one call takes {MAX_CONTENT}\n"
        'hint: send it in parts: the first as it is, each other one with mode="append"'
    )
    assert await service.list_volumes() == []


async def test_a_long_file_is_read_in_parts_that_cut_no_character(
    client: Client, service: FakeService
) -> None:
    await service.put_volume("web", {"f": "ü".encode() * 500})
    parts, offset = "", 0
    while offset < 1000:
        read = await text_of(client, "read_volume", volume="web", path="f", offset=offset, limit=201)
        head, _, text = read.partition("\n---\n")
        parts += text
        offset += len(text.encode())
        assert (f'; more: read_volume(volume="web", path="/f", snapshot="1", offset={offset})' in head) == (
            offset < 1000
        )
    assert parts == "ü" * 500


async def test_a_binary_file_is_named_and_linked_and_shown_on_demand(
    client: Client, service: FakeService
) -> None:
    data = bytes(range(256))
    await service.put_volume("web", {"img/a b.png": data})
    result = await call(client, "read_volume", volume="web", path="img/a b.png")
    head = 'volume=web path="/img/a b.png" snapshot=1 kind=file size=256 '
    assert result.content == [
        TextContent(type="text", text=f'{head}image/png; binary: encoding="base64" shows its bytes'),
        ResourceLink(
            type="resource_link",
            uri="hutch://volumes/web/img/a%20b.png?at=1",
            name="a b.png",
            mime_type="image/png",
            size=256,
        ),
    ]
    shown = await text_of(client, "read_volume", volume="web", path="img/a b.png", encoding="base64")
    assert b64decode(shown.partition("\n---\n")[2]) == data
    linked = await client.read_resource("hutch://volumes/web/img/a%20b.png?at=1")
    assert linked.contents[0].model_dump()["blob"] == b64encode(data).decode()


async def test_control_characters_in_a_text_are_shown_and_counted(
    client: Client, service: FakeService
) -> None:
    await service.put_volume("web", {"f": b"dos\r\n\x1b[31mred\n"})
    read = await text_of(client, "read_volume", volume="web", path="f")
    head, _, text = read.partition("\n---\n")
    assert head.endswith('; 1 control characters shown as symbols, encoding="base64" has them')
    assert text == "dos\r\n␛[31mred\n"


async def test_a_file_cannot_pass_for_the_answer(client: Client, service: FakeService) -> None:
    await service.put_volume("web", {"f": b"---\nvolume=other size=0\n"})
    read = await text_of(client, "read_volume", volume="web", path="f")
    assert read.startswith('volume=web path="/f" snapshot=1 kind=file size=24 ')
    assert read.partition("\n---\n")[2] == "---\nvolume=other size=0\n"


async def test_a_folder_is_listed_in_parts(client: Client, service: FakeService) -> None:
    await service.put_volume("web", {f"f{n:03}": b"x" * n for n in range(100)} | {"sub/x": b""})
    first = await text_of(client, "read_volume", volume="web", limit=200)
    head, _, listing = first.partition("\n---\n")
    shown = len(listing.split("\n"))
    assert (
        f'entries=0-{shown}; more: read_volume(volume="web", path="/", snapshot="1", offset={shown})' in head
    )
    assert listing.split("\n")[1] == "         1  f001"
    last = await text_of(client, "read_volume", volume="web", offset=100)
    assert last.endswith("entries=100-101\n---\n         -  sub/")


@pytest.mark.parametrize(("path", "code"), [("nowhere", "path_unknown"), ("f/x", "not_a_folder")])
async def test_what_is_not_there_is_an_error(
    client: Client, service: FakeService, path: str, code: str
) -> None:
    await service.put_volume("web", {"f": b""})
    assert f"error: {code}: " in await error_of(client, "read_volume", volume="web", path=path)
    error = await error_of(client, "read_volume", volume="no", path=path)
    assert error == "error: volume_unknown: there is no volume 'no'\nhint: see: list_volumes()"


async def test_volumes_are_listed_as_text_and_as_records(client: Client, service: FakeService) -> None:
    assert await text_of(client, "list_volumes") == "no volumes"
    await service.put_volume("web", {"f": b"12"})
    await service.put_volume("data", {"g": b""})
    result = await call(client, "list_volumes")
    assert isinstance(result.content[0], TextContent)
    assert without_time(result.content[0].text) == (
        "volume=data snapshot=1 files=1 bytes=0\nvolume=web snapshot=1 files=1 bytes=2"
    )
    assert result.structured_content is not None
    assert [volume["name"] for volume in result.structured_content["volumes"]] == ["data", "web"]


async def changed_web(service: FakeService) -> None:
    await service.put_volume("web", {"a.txt": b"one\ntwo\n", "b": b"\0", "same": b"1"})
    await service.put_volume("web", {"a.txt": b"one\n2\x1b[31m\n", "b": b"\0\0", "new/c": b"c\n"})


async def test_what_changed_since_a_snapshot_is_a_list_and_then_the_lines(
    client: Client, service: FakeService
) -> None:
    await changed_web(service)
    assert await text_of(client, "read_volume", volume="web", since="1") == (
        'volume=web path="/" since=1 snapshot=2 changes=0-4\n---\n'
        "M /a.txt (+1 -1)\n"
        "M /b (binary, 1 bytes -> 2 bytes)\n"
        "A /new/\n"
        "A /new/c (+1 -0)\n"
        "\n"
        "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2␛[31m\n"
        "--- /dev/null\n+++ b/new/c\n@@ -0,0 +1 @@\n+c\n"
    )
    only = await text_of(client, "read_volume", volume="web", since="1", path="new")
    assert only.startswith('volume=web path="new" since=1 snapshot=2 changes=0-2\n')
    assert (
        await text_of(client, "read_volume", volume="web", since="2")
        == 'volume=web path="/" since=2 snapshot=2 changes=none'
    )


async def test_changes_come_in_parts_and_say_which_lines_are_left_out(
    client: Client, service: FakeService
) -> None:
    await service.put_volume("web", {"first": b""})
    await service.put_volume("web", {f"f{n:02}": b"line\n" * 40 for n in range(30)})
    read = await text_of(client, "read_volume", volume="web", since="1", limit=400)
    head, _, body = read.partition("\n---\n")
    shown = len(body.split("\n\n")[0].split("\n"))
    more = f'more: read_volume(volume="web", path="/", since="1", snapshot="2", offset={shown})'
    assert head == (
        f'volume=web path="/" since=1 snapshot=2 changes=0-{shown}; {more}'
        f"; the lines of {shown} files do not fit: ask for one by its path, or for a larger limit"
    )
    last = await text_of(client, "read_volume", volume="web", since="1", limit=400, offset=29)
    assert "\n---\nA /f29 (+40 -0)\n\n--- /dev/null\n" in last


async def test_of_one_volume_its_history_is_told(client: Client, service: FakeService) -> None:
    await changed_web(service)
    await service.tag_volume("web", "v1", "1")
    await service.put_volume("other", {"f": b""})
    result = await call(client, "list_volumes", volume="web")
    assert isinstance(result.content[0], TextContent)
    told = [re.sub(r" at=\S+", "", without_time(line)) for line in result.content[0].text.splitlines()]
    assert told == [
        "volume=web snapshot=2 files=4 bytes=16",
        told[1],
        "snapshot=2 by=test changed: M a.txt, M b, A new, A new/c",
        "snapshot=1 by=test tags=v1 changed: A a.txt, A b, A same",
    ]
    assert re.fullmatch(r"snapshots=2 stored_bytes=\d+ tags=v1=1", told[1])
    assert result.structured_content is not None
    assert [one["snapshot"] for one in result.structured_content["history"]] == [2, 1]
    assert [one["name"] for one in result.structured_content["volumes"]] == ["web"]
    assert "volume_unknown" in await error_of(client, "list_volumes", volume="nobody")
