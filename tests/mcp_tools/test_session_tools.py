"""Agents and sessions through a client: text and record say the same, and both are of bounded size."""

from mcp import Client
from mcp.types import TextContent
from pydantic import JsonValue

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import ModelUsage, Usage
from support.mcp_answers import call, error_of, text_of
from support.mcp_service import NOW, FakeService


async def test_an_agent_is_started_and_sent_a_second_message(client: Client, service: FakeService) -> None:
    started = await call(client, "start_agent", agent="echo", prompt="hello", name="greeter", budget_usd=2)
    assert service.requests == [AgentRequest(agent="echo", prompt="hello", name="greeter", budget_usd=2)]
    again = await call(client, "send_to_agent", session_id="s-0001", message="and again")
    assert started.structured_content is not None
    record = SessionRecord.model_validate(again.structured_content)
    assert record == service.sessions["s-0001"]
    assert isinstance(again.content[0], TextContent)
    assert again.content[0].text == (
        'session=s-0001 kind=agent status=idle name="greeter" agent=echo turns=2 run=r-0002 '
        "updated=2026-01-02T03:04:05Z\n--- last message ---\nand again"
    )


async def test_an_agent_may_be_let_use_us(client: Client, service: FakeService) -> None:
    await call(client, "start_agent", agent="echo", prompt="hello", hutch=True)
    assert service.requests == [AgentRequest(agent="echo", prompt="hello", hutch=True)]


async def test_a_session_shows_what_it_used(client: Client, service: FakeService) -> None:
    await call(client, "start_agent", agent="echo", prompt="x")
    usage = Usage(input_tokens=100, cache_read_tokens=20, output_tokens=7, cost_usd=0.5)
    service.sessions["s-0001"] = service.sessions["s-0001"].model_copy(update={"usage": usage})
    text = await text_of(client, "get_session", session_id="s-0001")
    assert " tokens_in=120 tokens_out=7 cost_usd=0.5000\n" in text


async def test_a_session_at_work_says_how_to_wait(client: Client, service: FakeService) -> None:
    service.sessions["s-1"] = SessionRecord(
        session_id="s-1", kind="agent", status="running", method="none", created_at=NOW, updated_at=NOW
    )
    text = await text_of(client, "get_session", session_id="s-1")
    assert text.endswith('\nat work: get_session(session_id="s-1", wait_s=45) waits for its answer')
    now = service.sessions["s-1"]
    service.sessions["s-1"] = now.model_copy(update={"note": "a.example:443 was refused: \x1b[2Jno\n"})
    text = await text_of(client, "get_session", session_id="s-1")
    assert "\nat work (a.example:443 was refused: " in text
    assert "\x1b" not in text


async def test_what_an_agent_said_is_harmless_and_bounded(client: Client) -> None:
    result = await call(client, "start_agent", agent="echo", prompt="\x1b[2J" + "x" * 50_000)
    assert result.structured_content is not None
    message = result.structured_content["last_message"]
    assert message.startswith("xxx")
    assert message.endswith(f"x\n[…{50_004 - 16_000} characters left out]")
    listed = await call(client, "list_sessions")
    assert listed.structured_content is not None
    assert len(listed.structured_content["sessions"][0]["last_message"]) < 300


async def test_sessions_are_listed_newest_first_by_pages(client: Client) -> None:
    assert await text_of(client, "list_sessions") == "no sessions"
    for prompt in ("one", "two", "three"):
        await call(client, "start_agent", agent="echo", prompt=prompt)
    first = await call(client, "list_sessions", limit=2)
    assert isinstance(first.content[0], TextContent)
    assert first.content[0].text.endswith('\nmore: list_sessions(cursor="2")')
    assert first.structured_content is not None
    assert [s["session_id"] for s in first.structured_content["sessions"]] == ["s-0003", "s-0002"]
    second = await text_of(client, "list_sessions", limit=2, cursor="2")
    assert second.startswith("session=s-0001 ")
    assert await text_of(client, "list_sessions", status="failed") == "no sessions"


async def test_a_list_says_of_each_what_tells_it_apart(client: Client, service: FakeService) -> None:
    await call(client, "start_agent", agent="echo", prompt="x")
    used = ModelUsage(input_tokens=1, output_tokens=2, host="a.example", model="m", requests=1)
    service.sessions["s-0001"] = service.sessions["s-0001"].model_copy(update={"metered": [used]})
    whole = (await call(client, "get_session", session_id="s-0001")).structured_content or {}
    [row] = ((await call(client, "list_sessions")).structured_content or {})["sessions"]
    assert whole["metered"][0]["model"] == "m"
    assert whole["usage"]["cache_read_tokens"] == 0  # a program may count on every number
    assert "metered" not in row
    assert not [name for name, value in {**whole, **row}.items() if value in (None, [], "")]


async def test_a_session_is_stopped_and_forgotten(client: Client, service: FakeService) -> None:
    await call(client, "start_agent", agent="echo", prompt="x")
    assert " status=ended " in await text_of(client, "stop_session", session_id="s-0001")
    assert " status=ended " in await text_of(client, "stop_session", session_id="s-0001", remove=True)
    assert service.sessions == {}
    error = await error_of(client, "get_session", session_id="s-0001")
    assert error == "error: session_unknown: no session is called 's-0001'\nhint: see list_sessions"


async def test_an_agent_that_is_not_configured_is_refused(client: Client) -> None:
    error = await error_of(client, "start_agent", agent="nobody", prompt="x")
    assert error == "error: agent_unknown: no agent is called 'nobody'\nhint: known: echo"


async def test_a_result_is_told_as_it_is_and_its_texts_are_harmless(
    client: Client, service: FakeService
) -> None:
    result: JsonValue = {"sum": 3, "seen": ["\x1b[2J", {"a\x07": None}]}
    service.sessions["s-1"] = SessionRecord(
        session_id="s-1",
        kind="agent",
        status="idle",
        method="none",
        result=result,
        created_at=NOW,
        updated_at=NOW,
        last_message="Done.",
    )
    answer = await client.call_tool("get_session", {"session_id": "s-1"})
    assert answer.structured_content is not None
    assert answer.structured_content["result"] == {"sum": 3, "seen": ["", {"a␇": None}]}
    text = await text_of(client, "get_session", session_id="s-1")
    assert '--- result ---\n{"sum": 3, "seen": ["", {"a␇": null}]}\n--- last message ---\nDone.' in text

    service.sessions["s-1"] = service.sessions["s-1"].model_copy(update={"result": ["x" * 20_000]})
    assert "[20004 characters; see: hutch show --json]" in await text_of(
        client, "get_session", session_id="s-1"
    )
