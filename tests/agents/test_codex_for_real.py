"""Codex itself, in a sandbox with one way out, driven by the scripted model."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hutch.agents import (
    Codex,
    Ending,
    Erred,
    FileChanged,
    McpServer,
    Outcome,
    Retrying,
    Said,
    SessionNamed,
    StoredSession,
    ToolStarted,
    Usage,
    find_session,
)
from support.agent_sandbox import Model, codex, run, turn
from support.scripted_turns import ADDER, SKILL, Turns, answers, calls, ends, long, told

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow]

MODEL = "gpt-5.5"
TURN = {"input": 1000, "output": 50, "cache_read": 200}
ONE_CALL = Usage(1000, 50, 200)
KEY = {"OPENAI_API_KEY": "any word"}
TURNS = Turns(TURN, MODEL)
first, again = TURNS.first, TURNS.again


@pytest.fixture
def agent(model: Model) -> Codex:
    return codex(f"{model.url}/v1")


async def test_a_turn_is_told_event_by_event(model: Model, volume: Path, agent: Codex) -> None:
    patch = "*** Begin Patch\n*** Add File: hello.txt\n+hi\n*** End Patch"
    what = first(
        {"tool": "apply_patch", "args": patch},
        {"shell": "id -u > uid.txt; echo out; false", "say": "I look."},
        {"text": "All done."},
    )
    events, outcome = await run(model, volume, agent, what, KEY)

    session_id = outcome.session_id or ""
    assert outcome == Outcome(Ending.DONE, "All done.", session_id, MODEL, Usage(3000, 150, 600))
    assert (volume / "hello.txt").read_text() == "hi\n"
    assert (volume / "uid.txt").read_text() == "1000\n"
    ids = calls(events)
    assert told(events) == [
        SessionNamed(session_id, MODEL),
        ToolStarted(ids[0], "apply_patch", "/workspace/hello.txt"),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        ToolStarted(ids[1], "shell", "id -u > uid.txt; echo out; false"),
        Said("All done."),
    ]
    assert ends(events) == [(ids[0], False), (ids[1], True)]
    assert {(c.host, c.refused) for c in model.connections} == {("127.0.0.1", None)}


async def test_the_next_turn_resumes_the_conversation_and_costs_only_itself(
    model: Model, volume: Path, agent: Codex
) -> None:
    _, one = await run(model, volume, agent, first({"text": "The word is heron."}), KEY)
    stored = find_session(volume, agent)
    assert stored == StoredSession("codex", one.session_id or "")
    assert not list(volume.rglob("*.sqlite*"))  # they hold absolute paths

    model.asked.clear()
    _, two = await run(model, volume, agent, again(stored.session_id, {"text": "It was heron."}), KEY)
    assert two == Outcome(Ending.DONE, "It was heron.", stored.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_a_turn_killed_in_a_tool_call_is_resumed_by_the_next(
    model: Model, volume: Path, agent: Codex
) -> None:
    what = first({"shell": "echo started > started; sleep 1000"})
    async with turn(model, volume, agent, what, KEY) as at_work:
        await at_work.until(lambda event: isinstance(event, ToolStarted))
        killed = await at_work.kill()

    assert (killed.ending, killed.usage) == (Ending.INTERRUPTED, Usage(is_complete=False))
    assert find_session(volume, agent) == StoredSession("codex", killed.session_id or "")
    _, outcome = await run(model, volume, agent, again(killed.session_id, {"text": "I go on."}), KEY)
    assert outcome == Outcome(Ending.DONE, "I go on.", killed.session_id, MODEL, ONE_CALL)


async def test_a_turn_killed_before_the_model_answered_is_resumed_by_the_next(
    model: Model, volume: Path, agent: Codex
) -> None:
    async with turn(model, volume, agent, first({"hang": 1000}), KEY) as at_work:
        await at_work.until(lambda event: isinstance(event, SessionNamed))
        while b"POST /v1/responses" not in model.asked:
            await model.heard.wait()
        killed = await at_work.kill()

    assert killed.ending is Ending.INTERRUPTED
    stored = find_session(volume, agent)
    assert stored == StoredSession("codex", killed.session_id or "")
    _, outcome = await run(model, volume, agent, again(stored.session_id, {"text": "I am back."}), KEY)
    assert (outcome.ending, outcome.text, outcome.usage) == (Ending.DONE, "I am back.", ONE_CALL)


async def test_a_conversation_goes_on_in_a_volume_that_was_moved(
    model: Model, volume: Path, agent: Codex, tmp_path: Path
) -> None:
    _, one = await run(model, volume, agent, first({"text": "The word is heron."}), KEY)
    moved = volume.rename(tmp_path / "elsewhere")
    model.asked.clear()
    what = replace(again(one.session_id, {"text": "Here."}), volume=PurePosixPath("/session"))
    _, two = await run(model, moved, agent, what, KEY)
    assert (two.ending, two.session_id) == (Ending.DONE, one.session_id)
    assert b"The word is heron." in model.asked


async def test_instructions_and_skills_are_given_with_their_own_turn(
    model: Model, volume: Path, agent: Codex
) -> None:
    own = volume / ".hutch" / "codex" / "AGENTS.md"
    own.parent.mkdir(parents=True)
    own.write_text("The user's own: kingfisher.\n")
    what = replace(first({"text": "ok"}), instructions="Mention the heron.", skills=SKILL)
    _, one = await run(model, volume, agent, what, KEY)
    assert one.ok
    assert all(word in model.asked for word in (b"the heron", b"an otter", b"kingfisher"))

    model.asked.clear()
    what = replace(again(one.session_id, {"text": "ok"}), instructions="Mention the owl.")
    assert (await run(model, volume, agent, what, KEY))[1].ok
    assert b"Mention the owl." in model.asked
    assert own.read_text() == "The user's own: kingfisher.\n"


async def test_a_server_of_mcp_runs_in_the_sandbox(model: Model, volume: Path, agent: Codex) -> None:
    what = first({"tool": "mcp__adder__add", "args": {"a": 1, "b": 2}}, {"text": "Three."})
    events, outcome = await run(model, volume, agent, replace(what, servers={"adder": ADDER}), KEY)
    assert outcome.ok
    [call] = [event for event in events if isinstance(event, ToolStarted)]
    assert (call.tool, call.summary) == ("mcp__adder__add", '{"a": 1, "b": 2}')
    assert answers(events) == ["sum 3"]


async def test_a_server_that_does_not_start_ends_the_turn(model: Model, volume: Path, agent: Codex) -> None:
    what = replace(first({"text": "?"}), servers={"dead": McpServer(("no-such-program",))})
    _, outcome = await run(model, volume, agent, what, KEY)
    assert outcome.ending is Ending.NOT_STARTED
    assert "required MCP servers failed to initialize: dead" in outcome.error


async def test_a_schema_is_told_to_the_model(model: Model, volume: Path, agent: Codex) -> None:
    what = replace(first({"text": '{"sum": 3}'}), output_schema={"type": "object", "title": "heronry"})
    _, outcome = await run(model, volume, agent, what, KEY)
    assert (outcome.ending, outcome.text) == (Ending.DONE, '{"sum": 3}')
    assert b"heronry" in model.asked


async def test_a_newer_model_s_commands_run_too(model: Model, volume: Path, agent: Codex) -> None:
    what = replace(first({"shell": "echo six > six.txt"}, {"text": "ok"}), model="gpt-6-sol")
    assert (await run(model, volume, agent, what, KEY))[1].ok
    assert (volume / "six.txt").read_text() == "six\n"


async def test_a_prompt_of_300_kilobytes_arrives(model: Model, volume: Path, agent: Codex) -> None:
    what = first({"text": "long"})
    _, outcome = await run(model, volume, agent, long(what), KEY)
    assert (outcome.ending, outcome.text) == (Ending.DONE, "long")


async def test_a_model_that_breaks_off_is_asked_again(model: Model, volume: Path, agent: Codex) -> None:
    what = first({"cut": True, "text": "The answer", "times": 1}, {"text": "now"})
    events, outcome = await run(model, volume, agent, what, KEY)
    assert (outcome.ending, outcome.text) == (Ending.DONE, "now")
    [retry] = [event for event in events if isinstance(event, Retrying)]
    assert (retry.attempt, retry.of, retry.status) == (1, 6, None)


@pytest.mark.parametrize("status", [400, 429])
async def test_an_error_of_the_model_is_no_answer(
    model: Model, volume: Path, agent: Codex, status: int
) -> None:
    what = first({"error": status, "message": "no heron today"})
    events, outcome = await run(model, volume, agent, what, KEY)
    assert (outcome.ending, outcome.api_status, outcome.text) == (Ending.API_ERROR, status, "")
    assert outcome.error == ("no heron today" if status == 400 else events[-1].message)  # type: ignore[union-attr]
    assert isinstance(events[-1], Erred)


async def test_a_conversation_that_is_not_there_is_named_so(model: Model, volume: Path, agent: Codex) -> None:
    _, outcome = await run(model, volume, agent, again("01a1ff37-f31f-78c0-a4bf-790b9ec89e3f"), KEY)
    assert outcome.ending is Ending.SESSION_UNKNOWN


async def test_a_model_that_nobody_serves_ends_the_turn(model: Model, volume: Path, agent: Codex) -> None:
    nowhere = replace(agent, base_url="http://127.0.0.1:9/v1")
    _, outcome = await run(model, volume, nowhere, first({"text": "?"}), KEY)
    assert outcome.ending is Ending.API_ERROR
    assert "error sending request" in outcome.error
