"""Gemini CLI itself, in a sandbox with one way out, driven by the scripted model. Each turn takes seconds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from hutch.agents import (
    AgentTurn,
    Ending,
    Erred,
    FileChanged,
    Gemini,
    McpServer,
    Outcome,
    Said,
    SessionNamed,
    Spent,
    StoredSession,
    ToolEnded,
    ToolStarted,
    Usage,
    find_session,
)
from hutch.agents.stored import new_uuid
from support import adder
from support.agent_sandbox import Model, gemini_program, run, turn

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow, pytest.mark.timeout(240)]

MODEL = "gemini-2.5-pro"
TURN = {"input": 1000, "output": 50, "cache_read": 200}
ONE_CALL = Usage(1000, 50, 200)
KEY = {"GEMINI_API_KEY": "any word"}


@pytest.fixture
def agent(model: Model) -> Gemini:
    return replace(Gemini.find(gemini_program(), model.url), attempts=1)


def first(*steps: dict[str, Any]) -> AgentTurn:
    prompt = "Do it. SCRIPT: " + json.dumps([{"usage": TURN, **step} for step in steps])
    return AgentTurn(prompt, new_uuid(), resumes=False, model=MODEL)


def again(session_id: str, *steps: dict[str, Any]) -> AgentTurn:
    return replace(first(*steps), session_id=session_id, resumes=True)


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
    calls = [event.call_id for event in events if isinstance(event, ToolStarted)]
    assert [event for event in events if not isinstance(event, Spent | ToolEnded)] == [
        SessionNamed(what.session_id, MODEL),
        ToolStarted(calls[0], "write_file", "/workspace/hello.txt"),
        FileChanged("/workspace/hello.txt"),
        Said("The word is heron."),
        ToolStarted(calls[1], "run_shell_command", "id -u > uid.txt; echo out"),
        ToolStarted(calls[2], "read_file", "/workspace/nothing"),
        Said("All done."),
    ]
    ended = [(event.call_id, event.failed) for event in events if isinstance(event, ToolEnded)]
    assert ended == [(calls[0], False), (calls[1], False), (calls[2], True)]
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
        with anyio.fail_after(60):
            while not (volume / "started").exists():
                await anyio.sleep(0.05)
        killed = await at_work.kill()
    assert killed.ending is Ending.INTERRUPTED
    model.asked.clear()
    _, outcome = await run(model, volume, agent, again(what.session_id, {"text": "I go on."}), KEY)
    assert outcome == Outcome(Ending.DONE, "I go on.", what.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_what_a_turn_is_given_reaches_the_model(model: Model, volume: Path, agent: Gemini) -> None:
    skill = {"greet": {"SKILL.md": "---\nname: greet\ndescription: how to greet an otter\n---\nSay hello.\n"}}
    server = McpServer(adder.COMMAND, {"WORD": "sum "})
    what = first({"tool": "mcp_adder_add", "args": {"a": 1, "b": 2}}, {"text": '{"sum": 3}'})
    what = replace(
        what,
        prompt="word " * 60_000 + what.prompt,
        model=None,
        instructions="Mention the heron.",
        skills=skill,
        servers={"adder": server},
        output_schema={"type": "object", "title": "kingfisher"},
    )
    events, outcome = await run(model, volume, agent, what, KEY)
    assert (outcome.ending, outcome.text) == (Ending.DONE, '{"sum": 3}')
    assert outcome.usage == Usage(2000, 100, 400)
    assert [event.summary for event in events if isinstance(event, ToolEnded)] == ["sum 3"]
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
