"""Gemini CLI itself, in a sandbox with one way out, driven by the scripted model. Each turn takes seconds."""

from dataclasses import replace
from pathlib import Path

import pytest

from hutch.agents import (
    Ending,
    Erred,
    FileChanged,
    Gemini,
    Outcome,
    Said,
    SessionNamed,
    StoredSession,
    ToolStarted,
    Usage,
    find_session,
)
from hutch.agents.stored import new_uuid
from support.agent_sandbox import Model, gemini_program, run, turn
from support.scripted_turns import ADDER, SKILL, Turns, answers, calls, ends, long, told, until_there

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow, pytest.mark.timeout(600)]

MODEL = "gemini-2.5-pro"
TURN = {"input": 1000, "output": 50, "cache_read": 200}
ONE_CALL = Usage(1000, 50, 200)
KEY = {"GEMINI_API_KEY": "any word"}
TURNS = Turns(TURN, MODEL, new_uuid)
first, again = TURNS.first, TURNS.again


@pytest.fixture
def agent(model: Model) -> Gemini:
    return replace(Gemini.find(gemini_program(), model.url), attempts=1)


async def test_a_turn_is_told_and_the_next_resumes_it_in_a_volume_that_was_moved(
    model: Model, volume: Path, agent: Gemini, tmp_path: Path
) -> None:
    what = first(
        {"write": "/workspace/hello.txt", "content": "hi"},
        {"shell": "id -u > uid.txt; echo out", "say": "The word is heron."},
        {"tool": "read_file", "args": {"file_path": "/workspace/nothing"}},
        {"text": "All done."},
    )
    events, one = await run(model, volume, agent, what, KEY)

    assert one.error == ""
    assert one == Outcome(Ending.DONE, "All done.", what.session_id, MODEL, Usage(4000, 200, 800))
    assert (volume / "uid.txt").read_text() == "1000\n"
    ids = calls(events)
    assert told(events) == [
        SessionNamed(what.session_id, MODEL),
        ToolStarted(ids[0], "write_file", "/workspace/hello.txt"),
        FileChanged("/workspace/hello.txt"),
        Said("The word is heron."),
        ToolStarted(ids[1], "run_shell_command", "id -u > uid.txt; echo out"),
        ToolStarted(ids[2], "read_file", "/workspace/nothing"),
        Said("All done."),
    ]
    assert ends(events) == [(ids[0], False), (ids[1], False), (ids[2], True)]
    assert {(c.host, c.refused) for c in model.connections} == {("127.0.0.1", None)}  # it asks nobody else

    assert find_session(volume, agent) == StoredSession("gemini", what.session_id)
    model.asked.clear()
    moved = volume.rename(tmp_path / "elsewhere")
    _, two = await run(model, moved, agent, again(what.session_id, {"text": "It was heron."}), KEY)
    assert two == Outcome(Ending.DONE, "It was heron.", what.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_a_turn_killed_at_any_point_is_resumed_by_the_next(
    model: Model, volume: Path, agent: Gemini
) -> None:
    what = first({"hang": 1000})
    async with turn(model, volume, agent, what, KEY) as at_work:
        while b"POST /v1beta/models" not in model.asked:
            await model.heard.wait()
        killed = await at_work.kill()
    assert (killed.ending, killed.usage) == (Ending.INTERRUPTED, Usage(is_complete=False))
    assert find_session(volume, agent) == StoredSession("gemini", what.session_id)

    what = again(what.session_id, {"say": "The word is heron.", "shell": "touch started; sleep 1000"})
    async with turn(model, volume, agent, what, KEY) as at_work:
        await until_there(volume / "started")
        killed = await at_work.kill()
    assert killed.ending is Ending.INTERRUPTED
    model.asked.clear()
    _, outcome = await run(model, volume, agent, again(what.session_id, {"text": "I go on."}), KEY)
    assert outcome == Outcome(Ending.DONE, "I go on.", what.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_what_a_turn_is_given_reaches_the_model(model: Model, volume: Path, agent: Gemini) -> None:
    what = first({"tool": "mcp_adder_add", "args": {"a": 1, "b": 2}}, {"text": '{"sum": 3}'})
    what = replace(
        long(what),
        model=None,
        instructions="Mention the heron.",
        skills=SKILL,
        servers={"adder": ADDER},
        output_schema={"type": "object", "title": "kingfisher"},
    )
    events, outcome = await run(model, volume, agent, what, KEY)
    assert (outcome.ending, outcome.text) == (Ending.DONE, '{"sum": 3}')
    assert outcome.usage == Usage(2000, 100, 400)
    assert answers(events) == ["sum 3"]
    for word in (b"Mention the heron.", b"an otter", b"kingfisher"):
        assert word in model.asked, word
    assert model.asked.count(b"POST ") == 2  # none to choose a model by
    assert b"generateContent HTTP" not in model.asked

    model.asked.clear()
    _, outcome = await run(model, volume, agent, again(what.session_id, {"text": "ok"}), KEY)
    assert outcome.ok
    assert b"Mention the heron." not in model.asked


async def test_errors_are_told_for_what_they_are(model: Model, volume: Path, agent: Gemini) -> None:
    what = first({"error": 429, "message": "no heron today"})
    events, refused = await run(model, volume, agent, what, KEY)
    assert (refused.ending, refused.api_status) == (Ending.API_ERROR, 429)
    assert "no heron today" in refused.error
    assert any(isinstance(event, Erred) for event in events)
    _, unknown = await run(model, volume, agent, again(new_uuid(), {"text": "?"}), KEY)
    assert unknown.ending is Ending.SESSION_UNKNOWN
    bounded = replace(first({"shell": "true"}, {"shell": "true"}, {"text": "far"}), max_turns=1)
    _, outcome = await run(model, volume, agent, bounded, KEY)
    assert outcome.ending is Ending.TURN_LIMIT
