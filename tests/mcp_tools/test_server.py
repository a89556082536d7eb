"""What the server says of itself, to both eras of the protocol."""

import logging
import sys
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from mcp import Client
from mcp.types import Tool

from hutch_mcp_tools.server import build_server
from support.mcp_answers import error_of
from support.mcp_service import FakeService

READS = {"get_run", "get_session", "list_sessions", "read_volume", "list_volumes", "get_changes"}
STARTS = {"run_in_sandbox", "start_agent", "send_to_agent"}
CHANGES = {"stop_run", "stop_session", "write_volume", "apply_changes"}
STRUCTURED = {"start_agent", "send_to_agent", "get_session", "list_sessions", "stop_session"} | {
    "write_volume",
    "list_volumes",
    "apply_changes",
}


async def tools_of(client: Client) -> dict[str, Tool]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_eras_see_the_same_server(service: FakeService, mode: str) -> None:
    async with Client(build_server(service, version="1.2.3"), mode=mode) as client:
        assert set(await tools_of(client)) == READS | STARTS | CHANGES
        assert len(READS | STARTS | CHANGES) <= 14  # each one more costs every model that is given them
        templates = (await client.list_resource_templates()).resource_templates
        assert [template.uri_template for template in templates] == [
            "hutch://runs/{run_id}/stdout",
            "hutch://runs/{run_id}/stderr",
            "hutch://sessions/{session_id}/log",
            "hutch://volumes/{name}/{+path}{?at}",
        ]
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("hutch", "1.2.3")
        assert client.instructions is not None
        assert len(client.instructions) <= 500


async def test_tools_say_what_they_may_change(client: Client) -> None:
    tools = await tools_of(client)
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations is not None}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == READS
    assert {name for name, hint in hints.items() if hint.destructive_hint} == STARTS | CHANGES
    assert {name for name, hint in hints.items() if hint.open_world_hint} == STARTS
    assert {name for name, hint in hints.items() if hint.idempotent_hint} == {"stop_run", "stop_session"}


async def test_the_four_tools_to_begin_with_are_always_loaded(client: Client) -> None:
    tools = await tools_of(client)
    loaded = {name for name, tool in tools.items() if tool.meta and tool.meta.get("anthropic/alwaysLoad")}
    assert loaded == {"run_in_sandbox", "get_run", "start_agent", "list_sessions"}


async def test_output_is_text_and_state_is_structured(client: Client) -> None:
    tools = await tools_of(client)
    assert {name for name, tool in tools.items() if tool.output_schema is not None} == STRUCTURED


async def test_descriptions_are_short_and_schemas_closed(client: Client) -> None:
    for name, tool in (await tools_of(client)).items():
        assert tool.title, name
        assert tool.description is not None
        assert 40 <= len(tool.description) <= 600, name
        assert tool.input_schema["additionalProperties"] is False, name
        assert not any("title" in schema for schema in tool.input_schema["properties"].values()), name


async def test_every_tool_and_parameter_is_documented(client: Client) -> None:
    page = (Path(__file__).parents[2] / "docs/mcp.md").read_text()
    for name, tool in (await tools_of(client)).items():
        section = page.partition(f"### `{name}`")[2].partition("\n### ")[0]
        missing = [each for each in tool.input_schema["properties"] if f"`{each}`" not in section]
        assert section, f"docs/mcp.md has no section about {name}"
        assert not missing, f"docs/mcp.md, {name}: {missing}"


async def test_what_goes_wrong_inside_stays_in_the_log(
    client: Client, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.sessions["s-1"] = None  # type: ignore[assignment]  # what no service would do
    with caplog.at_level(logging.ERROR):
        error = await error_of(client, "get_session", session_id="s-1")
    assert error == "error: internal: an internal error\nhint: the daemon's log has the details"
    assert "AttributeError" in caplog.text


async def test_the_records_are_there_without_the_protocol() -> None:
    script = (
        "import sys, hutch_mcp_tools.service; print(sorted(m for m in sys.modules if m.startswith('mcp')))"
    )
    done = await anyio.run_process([sys.executable, "-c", script], stderr=PIPE)
    assert done.stdout.decode().strip() == "[]"
