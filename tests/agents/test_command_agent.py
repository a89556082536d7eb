"""Any program as an agent: its words, what it is given, and what is read of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.agents import (
    AgentTurn,
    Answered,
    Ending,
    Erred,
    FileChanged,
    McpServer,
    Said,
    SessionNamed,
    Spent,
    StoredSession,
    ToolEnded,
    ToolStarted,
    Usage,
    find_session,
    write_session,
)
from hutch.agents.command import CommandAgent
from hutch.agents.command_events import CommandReading
from hutch.agents.lines import TEXT
from hutch.errors import HutchError

TURN = AgentTurn("Do it.", "id-1", resumes=False)
PLAIN = CommandAgent("mine", ("my-agent", "--yes"))
FULL = CommandAgent(
    "mine",
    (
        *("my-agent", ("--model", "{model}"), ("--rules={instructions_file}",), ("--mcp", "{mcp_file}")),
        *(("--schema", "{schema_file}"), ("--skills", "{skills}"), ("--turns", "{max_turns}")),
        *("--state", "{state}", "--id={session}", "{prompt_file}"),
    ),
    ("my-agent", "--resume", "{session}", "--", "{prompt}"),
)


def test_without_placeholders_the_prompt_is_on_standard_input() -> None:
    command = PLAIN.command(TURN)
    assert (command.argv, command.stdin, command.given) == (("my-agent", "--yes"), b"Do it.", {})
    assert (command.hosts, command.bindings, command.state) == ((), (), {"mine": None})


def test_a_group_is_there_where_the_turn_has_what_it_names() -> None:
    bare = ("my-agent", "--state", "/workspace/.hutch/mine", "--id=id-1", "/opt/given/prompt.md")
    command = FULL.command(TURN)
    assert (command.argv, command.stdin, command.given) == (bare, b"", {"prompt.md": b"Do it."})
    turn = replace(
        TURN,
        model="m-1",
        instructions="Mention the heron.",
        skills={"tidy": {"SKILL.md": "…"}},
        servers={
            "a": McpServer(("prog", "-x"), {"WORD": "y"}),
            "b": McpServer(url="https://mcp.example.org"),
        },
        output_schema={"type": "object"},
        max_turns=3,
    )
    command = FULL.command(turn)
    assert command.argv == (
        *("my-agent", "--model", "m-1", "--rules=/opt/given/instructions.md", "--mcp", "/opt/given/mcp.json"),
        *("--schema", "/opt/given/schema.json", "--skills", "/opt/given/skills", "--turns", "3"),
        *bare[1:],
    )
    assert json.loads(command.given["mcp.json"]) == {
        "mcpServers": {
            "a": {"type": "stdio", "command": "prog", "args": ["-x"], "env": {"WORD": "y"}},
            "b": {"type": "http", "url": "https://mcp.example.org", "headers": {}},
        }
    }
    assert command.hosts == ("mcp.example.org:443",)


def test_a_next_turn_has_words_of_its_own() -> None:
    turn = replace(TURN, prompt="--x {model}; $(y)", resumes=True)
    assert FULL.command(turn).argv == ("my-agent", "--resume", "id-1", "--", "--x {model}; $(y)")


def test_instructions_and_a_schema_that_have_no_place_are_told_in_the_prompt() -> None:
    turn = replace(TURN, instructions="Mention the heron.", output_schema={"title": "heronry"})
    said = PLAIN.command(turn).stdin.decode()
    assert said.startswith("# How to work, in this turn\n\nMention the heron.\n\n# What to do\n\nDo it.")
    assert '{"title": "heronry"}' in said


@pytest.mark.parametrize(
    "values",
    [
        {"model": "m-1"},
        {"skills": {"tidy": {"SKILL.md": ""}}},
        {"servers": {"a": McpServer(("x",))}},
        {"max_turns": 3},
        {"budget_usd": 1.0},
        {"protects_itself": True},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_it_has_no_place_for_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(HutchError) as refused:
        PLAIN.command(replace(TURN, **values))
    assert (refused.value.code, bool(refused.value.hint)) == ("turn_invalid", True)


def test_a_prompt_that_no_command_line_takes_is_refused_with_the_way_out() -> None:
    with pytest.raises(HutchError) as refused:
        FULL.command(replace(TURN, prompt="x" * 200_000, resumes=True))
    assert (refused.value.code, "{prompt_file}" in refused.value.hint) == ("turn_invalid", True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"first": ()}, "has no command"),
        ({"first": ("x", "{heron}")}, "names {heron}"),
        ({"session_pattern": "id (.*"}, "session_pattern"),
        ({"session_pattern": "no group"}, "session_pattern"),
    ],
)
def test_a_template_that_is_none_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(HutchError) as refused:
        replace(PLAIN, **values)
    assert (refused.value.code, told in refused.value.message) == ("agent_invalid", True)


def test_a_conversation_goes_on_only_where_it_says_how(tmp_path: Path) -> None:
    write_session(tmp_path, StoredSession("mine", "id-1"))
    assert find_session(tmp_path, FULL) == StoredSession("mine", "id-1")
    assert find_session(tmp_path, replace(FULL, name="other")) is None
    assert find_session(tmp_path, PLAIN) is None


def test_an_id_is_made_here_unless_only_its_output_can_know_it() -> None:
    assert FULL.new_session_id()
    assert replace(PLAIN, resume=("my-agent", "--go-on")).new_session_id()
    assert not replace(PLAIN, resume=("my-agent", "--resume={session}")).new_session_id()


# What it says ------------------------------------------------------------


def test_plain_text_is_what_it_says() -> None:
    reading = CommandReading("m-1", r"session: (\S+)")
    events = reading.feed(
        b'I begin.\nsession: abc-1\n\n{not json\n{"a": 1}\nsession: later\nD'
    ) + reading.feed(b"one.")
    assert events == [
        Said("I begin."),
        SessionNamed("abc-1", "m-1"),
        *map(Said, ("session: abc-1", "{not json", '{"a": 1}', "session: later")),
    ]
    outcome = reading.finish(exit_code=0)
    assert (outcome.ending, outcome.session_id, outcome.usage.is_complete) == (Ending.DONE, "abc-1", False)
    assert outcome.text.splitlines()[::5] == ["I begin.", "Done."]


def test_of_endless_plain_text_the_last_of_it_is_kept() -> None:
    reading = CommandReading()
    for _ in range(3):
        reading.feed("\N{GRINNING FACE}".encode() * 200_000 + b"\n")
    reading.feed(b"y\n" * 300_000)
    outcome = reading.finish(exit_code=0)
    assert outcome.text == ("y\n" * TEXT)[-TEXT:].strip()
    assert sum(map(len, reading._plain)) <= TEXT + 1


def test_lines_of_json_say_more() -> None:
    said: list[dict[str, object]] = [
        {"type": "session", "session_id": "abc-1"},
        {"type": "tool_started", "id": "1", "tool": "shell", "summary": "ls\n -l"},
        {"type": "tool_ended", "id": "1", "failed": True, "summary": "no"},
        {"type": "file_changed", "path": "a.txt"},
        {"type": "usage", "input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5},
        {"type": "error", "message": "busy", "status": 529},
        {"type": "result", "result": {"sum": 3}},
        {"type": "text", "text": "All done."},
    ]
    reading = CommandReading()
    events = reading.feed(b"Hello.\n" + b"".join(json.dumps(each).encode() + b"\n" for each in said))
    assert events == [
        Said("Hello."),
        SessionNamed("abc-1", ""),
        ToolStarted("1", "shell", "ls -l"),
        ToolEnded("1", failed=True, summary="no"),
        FileChanged("a.txt"),
        Spent(Usage(10, 2, cost_usd=0.5)),
        Erred("busy", 529),
        Answered({"sum": 3}),
        Said("All done."),
    ]
    outcome = reading.finish(exit_code=3)
    assert (outcome.ending, outcome.text, outcome.error) == (Ending.API_ERROR, "All done.", "busy")
    assert (outcome.result, outcome.usage, outcome.api_status) == (
        {"sum": 3},
        Usage(10, 2, cost_usd=0.5),
        529,
    )


@pytest.mark.parametrize(
    ("exit_code", "ending"),
    [(0, "done"), (1, "failed"), (127, "not_started"), (137, "interrupted"), (None, "interrupted")],
)
def test_its_exit_code_says_how_it_ended(exit_code: int | None, ending: str) -> None:
    outcome = CommandReading().finish(exit_code=exit_code, stderr="not found\n")
    assert (outcome.ending, outcome.error) == (ending, "" if ending == "done" else "not found")


@given(st.lists(st.binary() | st.sampled_from([b'{"type":"session","session_id":"-x"}\n', b'{"type":[]}\n'])))
def test_no_bytes_break_it(chunks: list[bytes]) -> None:
    reading = CommandReading("", r"(\w+)")
    named = [e for chunk in chunks for e in reading.feed(chunk) if isinstance(e, SessionNamed)]
    outcome = reading.finish(exit_code=0)
    assert len(named) <= 1
    outcome.text.encode()
