"""OpenCode itself, in a sandbox with one way out, driven by the scripted model. Each turn takes seconds."""

from dataclasses import replace
from pathlib import Path

import pytest

from hutch.agents import (
    Ending,
    Erred,
    FileChanged,
    OpenCode,
    Outcome,
    Said,
    SessionNamed,
    StoredSession,
    ToolStarted,
    Usage,
    find_session,
)
from support.agent_sandbox import Model, opencode_binary, run, turn
from support.scripted_turns import ADDER, SKILL, Turns, answers, calls, ends, long, told, until_there

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow, pytest.mark.timeout(600)]

MODEL = "anthropic/claude-opus-5-5"
TURN = {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 30}
OPENAI = {"OPENAI_API_KEY": "any word"}
ONE_CALL = Usage(1000, 50, 200, 30, 0.00519)  # at its own list price
TURNS = Turns(TURN)
first, again = TURNS.first, TURNS.again


@pytest.fixture
def agent(model: Model) -> OpenCode:
    return OpenCode.find(opencode_binary(), f"{model.url}/v1")


async def test_a_turn_is_told_and_the_next_resumes_it_in_a_volume_that_was_moved(
    model: Model, volume: Path, agent: OpenCode, tmp_path: Path
) -> None:
    what = first(
        {"write": "/workspace/hello.txt", "content": "hi"},
        {"shell": "id -u > uid.txt; echo out", "say": "The word is heron."},
        {"tool": "read", "args": {"filePath": "/workspace/nothing"}},
        {"text": "All done."},
    )
    events, one = await run(model, volume, agent, what)

    session_id = one.session_id or ""
    assert one == Outcome(Ending.DONE, "All done.", session_id, MODEL, Usage(4000, 200, 800, 120, 0.02076))
    assert (volume / "uid.txt").read_text() == "1000\n"
    ids = calls(events)
    assert told(events) == [
        SessionNamed(session_id, MODEL),
        ToolStarted(ids[0], "write", "/workspace/hello.txt"),
        FileChanged("/workspace/hello.txt"),
        Said("The word is heron."),
        ToolStarted(ids[1], "bash", "id -u > uid.txt; echo out"),
        ToolStarted(ids[2], "read", "/workspace/nothing"),
        Said("All done."),
    ]
    assert ends(events) == [(ids[0], False), (ids[1], False), (ids[2], True)]
    assert {(c.host, c.refused) for c in model.connections} == {("127.0.0.1", None)}  # it asks nobody else

    stored = find_session(volume, agent)
    assert stored == StoredSession("opencode", session_id)
    model.asked.clear()
    moved = volume.rename(tmp_path / "elsewhere")
    _, two = await run(model, moved, agent, again(session_id, {"text": "It was heron."}))
    assert two == Outcome(Ending.DONE, "It was heron.", session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_a_turn_killed_at_any_point_is_resumed_by_the_next(
    model: Model, volume: Path, agent: OpenCode
) -> None:
    """Before the model has answered it says no id: that is found in its database, which nobody closed."""
    async with turn(model, volume, agent, first({"hang": 1000})) as at_work:
        while b"POST /v1/messages" not in model.asked:
            await model.heard.wait()
        killed = await at_work.kill()
    assert (killed.ending, killed.session_id) == (Ending.INTERRUPTED, None)
    stored = find_session(volume, agent)
    assert stored is not None

    what = again(stored.session_id, {"say": "The word is heron.", "shell": "touch started; sleep 1000"})
    async with turn(model, volume, agent, what) as at_work:
        await until_there(volume / "started")
        killed = await at_work.kill()
    assert (killed.ending, killed.usage.is_complete) == (Ending.INTERRUPTED, False)
    assert find_session(volume, agent) == stored
    model.asked.clear()
    _, outcome = await run(model, volume, agent, again(stored.session_id, {"text": "I go on."}))
    assert outcome == Outcome(Ending.DONE, "I go on.", stored.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_what_a_turn_is_given_reaches_the_model(model: Model, volume: Path, agent: OpenCode) -> None:
    """Of a provider that it does not know, a gateway of one's own: by chat completions."""
    what = first({"tool": "adder_add", "args": {"a": 1, "b": 2}}, {"text": '{"sum": 3}'})
    what = replace(
        long(what),
        model="mine/llama",
        instructions="Mention the heron.",
        skills=SKILL,
        servers={"adder": ADDER},
        output_schema={"type": "object", "title": "kingfisher"},
        max_turns=9,
    )
    events, outcome = await run(model, volume, agent, what, OPENAI)
    assert (outcome.ending, outcome.text) == (Ending.DONE, '{"sum": 3}')
    assert outcome.usage == Usage(2000, 100, 400)  # of a model that it has no price of
    assert answers(events) == ["sum 3"]
    for word in (b"Mention the heron.", b"an otter", b"kingfisher", b"POST /v1/chat/completions"):
        assert word in model.asked, word


async def test_errors_are_told_for_what_they_are(model: Model, volume: Path, agent: OpenCode) -> None:
    """Of a provider whose API is another: OpenAI's responses."""
    what = replace(first({"error": 400, "message": "no heron today"}), model="openai/gpt-5.5")
    events, refused = await run(model, volume, agent, what, OPENAI)
    assert (refused.ending, refused.api_status, refused.error) == (Ending.API_ERROR, 400, "no heron today")
    assert events[-1] == Erred("no heron today", 400)
    assert b"POST /v1/responses" in model.asked
    _, unknown = await run(model, volume, agent, again("ses_e00d7d3b4ffesnsCtU74Q3fh2M", {"text": "?"}))
    assert (unknown.ending, unknown.error) == (Ending.SESSION_UNKNOWN, "Error: Session not found")
