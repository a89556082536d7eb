"""Claude Code itself, in a sandbox with one way out, driven by the scripted model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hutch.agents import (
    Answered,
    ClaudeCode,
    Ending,
    Erred,
    FileChanged,
    McpServer,
    Outcome,
    PermissionAsked,
    Retrying,
    Said,
    SessionNamed,
    StoredSession,
    ToolStarted,
    Usage,
    find_session,
)
from hutch.agents.stored import new_uuid
from support.agent_sandbox import MODEL, TURN, Model, claude, run, turn
from support.scripted_turns import ADDER, Turns, answers, calls, ends, long, told

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow]
ONE_CALL = Usage(1000, 50, 200, 30, 0.00519)  # at the agent's own list price
TURNS = Turns(TURN, new_id=new_uuid)
first, again = TURNS.first, TURNS.again


@pytest.fixture
def agent(model: Model) -> ClaudeCode:
    return claude(model.url)


async def test_a_turn_is_told_event_by_event(model: Model, volume: Path, agent: ClaudeCode) -> None:
    what = first(
        {"write": "/workspace/hello.txt", "content": "hi"},
        {"shell": "id -u > uid.txt; echo out; false", "say": "I look."},
        {"text": "All done."},
    )
    events, outcome = await run(model, volume, agent, what)

    assert outcome == Outcome(
        Ending.DONE, "All done.", what.session_id, MODEL, Usage(3000, 150, 600, 90, 0.01557)
    )
    assert (volume / "hello.txt").read_text() == "hi"
    assert (volume / "uid.txt").read_text() == "1000\n"
    ids = calls(events)
    assert told(events) == [
        SessionNamed(what.session_id, MODEL),
        ToolStarted(ids[0], "Write", "/workspace/hello.txt"),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        ToolStarted(ids[1], "Bash", "id -u > uid.txt; echo out; false"),
        Said("All done."),
    ]
    assert ends(events) == [(ids[0], False), (ids[1], True)]


async def test_the_next_turn_resumes_the_conversation_and_costs_only_itself(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    _, one = await run(model, volume, agent, first({"text": "The word is heron."}))
    stored = find_session(volume, agent)
    assert stored == StoredSession("claude", one.session_id or "")

    model.asked.clear()
    _, two = await run(model, volume, agent, again(stored.session_id, {"text": "It was heron."}))
    assert two == Outcome(Ending.DONE, "It was heron.", stored.session_id, MODEL, ONE_CALL)
    assert b"The word is heron." in model.asked


async def test_a_turn_killed_in_a_tool_call_is_resumed_by_the_next(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    what = first({"shell": "echo started > started; sleep 1000"})
    async with turn(model, volume, agent, what) as at_work:
        await at_work.until(lambda event: isinstance(event, ToolStarted))
        killed = await at_work.kill()

    assert killed.ending is Ending.INTERRUPTED
    assert killed.usage == Usage(1000, 1, 200, 30, None, is_complete=False)
    assert find_session(volume, agent) == StoredSession("claude", what.session_id)
    _, outcome = await run(model, volume, agent, again(what.session_id, {"text": "I go on."}))
    assert outcome == Outcome(Ending.DONE, "I go on.", what.session_id, MODEL, ONE_CALL)


async def test_a_turn_killed_before_the_model_answered_is_resumed_by_the_next(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    what = first({"hang": 1000})
    async with turn(model, volume, agent, what) as at_work:
        await at_work.until(lambda event: isinstance(event, SessionNamed))
        while b"POST /v1/messages" not in model.asked:
            await model.heard.wait()
        killed = await at_work.kill()

    assert (killed.ending, killed.usage) == (Ending.INTERRUPTED, Usage(is_complete=False))
    stored = find_session(volume, agent)
    assert stored == StoredSession("claude", what.session_id)
    _, outcome = await run(model, volume, agent, again(what.session_id, {"text": "I am back."}))
    assert (outcome.ending, outcome.text, outcome.session_id) == (Ending.DONE, "I am back.", what.session_id)


async def test_a_transcript_cut_in_the_middle_of_a_line_still_resumes(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    _, one = await run(model, volume, agent, first({"text": "one"}))
    [transcript] = volume.glob(".hutch/claude/projects/*/*.jsonl")
    with transcript.open("ab") as file:
        file.write(b'{"type":"assistant","message":{"cont')
    assert one.session_id is not None
    _, two = await run(model, volume, agent, again(one.session_id, {"text": "two"}))
    assert (two.ending, two.text, two.session_id) == (Ending.DONE, "two", one.session_id)


async def test_instructions_hold_for_their_own_turn_alone(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    session_id = new_uuid()
    seen = []
    for n, instructions in enumerate(["Mention the heron.", "Mention the otter.", ""]):
        model.asked.clear()
        what = replace(again(session_id, {"text": "ok"}), resumes=n > 0, instructions=instructions)
        _, outcome = await run(model, volume, agent, what)
        assert outcome.ok
        seen.append([word for word in (b"heron", b"otter") if word in model.asked])
    assert seen == [[b"heron"], [b"otter"], []]


async def test_skills_are_there_for_their_own_turn_alone(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    skill = {"SKILL.md": "---\nname: greet\ndescription: how to greet\n---\nSay hello.\n", "data/a.txt": "x"}
    session_id = new_uuid()
    seen = []
    for n, skills in enumerate([{"greet": skill}, {}]):
        what = replace(again(session_id, {"text": "ok"}), resumes=n > 0, skills=skills)
        async with turn(model, volume, agent, what) as at_work:
            assert (await at_work.end()).ok
        init = json.loads(at_work.stdout.splitlines()[0])
        seen.append("greet" in init["skills"])
    assert seen == [True, False]


async def test_a_prompt_of_300_kilobytes_arrives(model: Model, volume: Path, agent: ClaudeCode) -> None:
    _, outcome = await run(model, volume, agent, long(first({"text": "long"})))
    assert (outcome.ending, outcome.text) == (Ending.DONE, "long")


async def test_a_busy_model_is_asked_again(model: Model, volume: Path, agent: ClaudeCode) -> None:
    what = first({"error": 529, "message": "busy", "times": 1}, {"text": "now"})
    events, outcome = await run(model, volume, agent, what)
    assert (outcome.ending, outcome.text) == (Ending.DONE, "now")
    [retry] = [event for event in events if isinstance(event, Retrying)]
    assert (retry.attempt, retry.of, retry.status, retry.message) == (1, 1, 529, "overloaded")


@pytest.mark.parametrize("status", [400, 401, 429, 529])
async def test_an_error_of_the_model_is_no_answer(
    model: Model, volume: Path, agent: ClaudeCode, status: int
) -> None:
    _, outcome = await run(model, volume, agent, first({"error": status, "message": "no heron today"}))
    assert (outcome.ending, outcome.api_status, outcome.text) == (Ending.API_ERROR, status, "")
    assert "no heron today" in outcome.error
    assert outcome.usage == Usage(cost_usd=0.0)


async def test_the_limits_of_a_turn_end_it(model: Model, volume: Path, agent: ClaudeCode) -> None:
    steps = [{"shell": "true"}, {"shell": "true"}, {"text": "done"}]
    _, by_turns = await run(model, volume, agent, replace(first(*steps), max_turns=1))
    assert (by_turns.ending, by_turns.usage) == (Ending.TURN_LIMIT, ONE_CALL)
    _, by_budget = await run(model, volume, agent, replace(first(*steps), budget_usd=0.006))
    assert (by_budget.ending, by_budget.usage) == (Ending.BUDGET, Usage(2000, 100, 400, 60, 0.01038))


async def test_a_server_of_mcp_runs_in_the_sandbox_and_no_other(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    volume.mkdir()
    other = {"mcpServers": {"other": {"command": "touch", "args": ["/workspace/started"]}}}
    (volume / ".mcp.json").write_text(json.dumps(other))
    what = first({"tool": "mcp__adder__add", "args": {"a": 1, "b": 2}}, {"text": "Three."})
    events, outcome = await run(model, volume, agent, replace(what, servers={"adder": ADDER}))
    assert outcome.ok
    assert [event.tool for event in events if isinstance(event, ToolStarted)] == ["mcp__adder__add"]
    assert answers(events) == ["sum 3"]
    assert not (volume / "started").exists()


async def test_a_server_that_does_not_start_is_told(model: Model, volume: Path, agent: ClaudeCode) -> None:
    what = replace(first({"text": "Without it."}), servers={"dead": McpServer(("no-such-program",))})
    events, outcome = await run(model, volume, agent, what)
    assert outcome.ok
    assert Erred("the MCP server dead did not start") in events


async def test_a_result_has_the_form_that_was_asked_for(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    what = first({"tool": "StructuredOutput", "args": {"sum": 3}}, {"text": "Three."})
    events, outcome = await run(model, volume, agent, replace(what, output_schema=schema))
    assert (outcome.ending, outcome.result) == (Ending.DONE, {"sum": 3})
    assert Answered({"sum": 3}) in events


async def test_what_its_rules_refuse_is_told_as_asked_for(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    events, outcome = await run(model, volume, agent, first({"shell": "rm -rf /"}, {"text": "It would not."}))
    assert (outcome.ending, outcome.denied) == (Ending.DONE, 1)
    assert PermissionAsked("Bash", '{"command": "rm -rf /", "description": "A scripted step"}') in events


async def test_a_model_without_a_list_price_has_no_cost(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    _, outcome = await run(model, volume, agent, replace(first({"text": "hm"}), model="house-model-1"))
    assert (outcome.ending, outcome.model) == (Ending.DONE, "house-model-1")
    assert outcome.usage == Usage(1000, 50, 200, 30, None)


async def test_a_conversation_that_is_not_there_is_named_so(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    _, outcome = await run(model, volume, agent, again(new_uuid(), {"text": "?"}))
    assert outcome.ending is Ending.SESSION_UNKNOWN


async def test_without_a_credential_it_says_so(model: Model, volume: Path, agent: ClaudeCode) -> None:
    async with turn(model, volume, agent, first({"text": "?"}), secrets={}) as at_work:
        outcome = await at_work.end()
    assert (outcome.ending, outcome.ok) == (Ending.API_ERROR, False)
    assert "Not logged in" in outcome.error


async def test_an_id_that_is_in_use_cannot_begin_anew(model: Model, volume: Path, agent: ClaudeCode) -> None:
    what = first({"text": "one"})
    assert (await run(model, volume, agent, what))[1].ok
    _, outcome = await run(model, volume, agent, what)
    assert outcome.ending is Ending.NOT_STARTED
    assert "already in use" in outcome.error


async def test_a_background_command_wakes_the_agent_and_both_answers_are_counted(
    model: Model, volume: Path, agent: ClaudeCode
) -> None:
    background = {"command": "sleep 0.3", "run_in_background": True, "description": "wait"}
    what = first({"tool": "Bash", "args": background}, {"text": "I wait."})
    events, outcome = await run(model, volume, agent, what)
    assert outcome.ok
    assert [event.text for event in events if isinstance(event, Said)] == ["I wait.", "I wait."]
    assert outcome.usage == Usage(3000, 150, 600, 90, 0.01557)
