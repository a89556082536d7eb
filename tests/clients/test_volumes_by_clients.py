"""A volume's past as real clients show it: text where a tool has text, records where it has records."""

import base64
import json
from pathlib import Path

import pytest

from hutch_mcp_tools.volume_records import WriteVolumeRequest
from support.daemon import Daemon, scripted_model
from support.mcp_clients import claude_calls, codex_calls, inspect

pytestmark = pytest.mark.slow

CHANGED = "M /a.txt (+1 -1)\n\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+two\n"


@pytest.fixture(scope="module")
async def web(server: Daemon) -> Daemon:
    """A daemon with a volume of two snapshots."""
    async with server.client() as client:
        for text in ("one\n", "two\n"):
            content = base64.b64encode(text.encode()).decode()
            await client.write_volume(
                WriteVolumeRequest(volume="web", path="a.txt", content_base64=content, mode="overwrite")
            )
    return server


async def test_the_inspector_reads_a_volume_at_a_snapshot(web: Daemon, home: Path) -> None:
    url = f"{web.url}/mcp"
    listed = await inspect(url, web.token, home, "--method", "resources/list")
    assert "hutch://volumes/web/" in {resource["uri"] for resource in listed["resources"]}
    read = ["--method", "resources/read", "--uri"]
    root = await inspect(url, web.token, home, *read, "hutch://volumes/web/")
    assert [entry["name"] for entry in json.loads(root["contents"][0]["text"])["entries"]] == ["a.txt"]
    old = await inspect(url, web.token, home, *read, "hutch://volumes/web/a.txt?at=1")
    assert old["contents"][0]["text"] == "one\n"


async def test_claude_code_shows_what_changed_and_a_volume_s_history(
    web: Daemon, home: Path, tmp_path: Path
) -> None:
    url, log = f"{web.url}/mcp", tmp_path / "model.log"
    async with scripted_model(log) as model:
        turn = await claude_calls(url, web.token, model, log, home, "read_volume", volume="web", since="1")
    assert turn.done.code == 0, turn.done
    assert CHANGED in turn.shown
    log = tmp_path / "second.log"
    async with scripted_model(log) as model:
        turn = await claude_calls(url, web.token, model, log, home, "list_volumes", volume="web")
    history = json.loads(turn.shown)["history"]
    assert [(one["snapshot"], one["changed"]) for one in history] == [(2, ["M a.txt"]), (1, ["A a.txt"])]


async def test_codex_shows_what_changed(web: Daemon, home: Path, tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    async with scripted_model(log) as model:
        turn = await codex_calls(
            f"{web.url}/mcp", web.token, model, log, home, "read_volume", volume="web", since="1"
        )
    assert turn.done.code == 0, turn.done
    assert CHANGED in turn.shown
