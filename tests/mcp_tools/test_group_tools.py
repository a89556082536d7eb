"""Several attempts at once over MCP, by the tools that are there: started, looked at, one kept, stopped."""

from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

from hutch_mcp_tools.group_records import Forks
from hutch_mcp_tools.session_records import SessionRecord
from support.mcp_answers import error_of
from support.mcp_groups import NOW
from support.mcp_service import FakeService


def text(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


async def begun(client: Client, **more: Any) -> CallToolResult:
    said = {"agent": "claude", "prompt": "Mend it.", "volume": "web", "forks": 2, **more}
    return await client.call_tool("start_agent", said)


async def test_a_start_with_forks_answers_with_a_group(client: Client, service: FakeService) -> None:
    answer = await begun(client, model="a,b", variants=["First."], group_budget_usd=2)
    assert not answer.is_error, text(answer)
    ((request, forks),) = service.forks
    assert (request.volume, request.model) == ("web", None)
    assert forks == Forks(count=2, models=["a", "b"], variants=["First."], budget_usd=2)
    record = SessionRecord.model_validate(answer.structured_content)
    assert (record.session_id, record.kind, record.usage.input_tokens) == ("g-0001", "group", 3000)
    assert [each.session_id for each in record.attempts] == ["s-g1", "s-g2"]
    lines = text(answer).splitlines()
    assert lines[0] == "group=g-0001 status=done agent=claude volume=web snapshot=3"
    assert lines[1].startswith("attempt=1 session=s-g1 status=done volume=web-0001-1 model=a changed=1 ")
    assert 'apply_changes(review="its session")' in lines[-1]
    refused = await error_of(client, "start_agent", agent="echo", prompt="x", variants=["a"])
    assert refused.startswith("error: arguments_invalid: variants are of several attempts")
    refused = await error_of(client, "start_agent", agent="echo", prompt="x", group_budget_tokens=5)
    assert refused.startswith("error: arguments_invalid: group budgets are of several attempts")


async def test_a_group_is_asked_about_and_stopped_like_a_session(
    client: Client, service: FakeService
) -> None:
    await begun(client)
    found = text(await client.call_tool("get_session", {"session_id": "g-0001", "wait_s": 1}))
    assert "    A /note.txt (+2 -0)\n" in found
    assert '    "Attempt 2 is done."\n' in found
    assert (await error_of(client, "get_session", session_id="g-none")).startswith("error: group_unknown")
    await client.call_tool("stop_session", {"session_id": "g-0001"})
    assert service.discarded == []
    await client.call_tool("stop_session", {"session_id": "g-0001", "remove": True})
    assert service.discarded == ["g-0001"]


async def test_applying_an_attempt_keeps_it_in_its_volume(client: Client, service: FakeService) -> None:
    await begun(client)
    known = {"kind": "agent", "status": "idle", "method": "none", "created_at": NOW, "updated_at": NOW}
    service.sessions["s-g2"] = SessionRecord.model_validate(
        {**known, "session_id": "s-g2", "group_id": "g-0001"}
    )
    done = await client.call_tool("apply_changes", {"review": "s-g2"})
    assert text(done) == "applied 2 changes to volume web at snapshot 4; 0 wait"
    assert service.kept == [("s-g2", None)]
    refused = await error_of(client, "apply_changes", review="s-g2", paths=["a"])
    assert refused.startswith("error: arguments_invalid: an attempt is kept as a whole")
