"""What the adapter makes of Codex' lines: recorded ones, and hostile ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.agents import (
    AgentEvent,
    Ending,
    Erred,
    FileChanged,
    Outcome,
    Retrying,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.codex_events import CodexReading, thread_total

SAMPLES = Path(__file__).parent / "samples" / "codex"
FOUR = Usage(4000, 200, 800)
NONE = Usage(is_complete=False)
CUT = "stream disconnected before completion: Transport error: network error: error decoding response body"

OUTCOMES = {  # sample -> its exit code, and (ending, text, usage, beginning of the error, status)
    "success": (0, (Ending.DONE, "All done.", FOUR, "", None)),
    "resumed": (0, (Ending.DONE, "Second.", Usage(1000, 50, 200), "", None)),
    "cut_once": (0, (Ending.DONE, "now", Usage(1000, 50, 200), "", None)),
    "error_400": (1, (Ending.API_ERROR, "", NONE, "no heron today", 400)),
    "error_401": (1, (Ending.API_ERROR, "", NONE, "unexpected status 401 Unauthorized: wrong key", 401)),
    "error_429": (1, (Ending.API_ERROR, "", NONE, "exceeded retry limit, last status: 429", 429)),
    "no_network": (None, (Ending.INTERRUPTED, "", NONE, "Reconnecting... waiting for network", None)),
}


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.jsonl").read_bytes()


def reading(name: str = "") -> CodexReading:
    return CodexReading("gpt-5.5", FOUR if name == "resumed" else None)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_turn_ends_as_its_events_say(name: str) -> None:
    exit_code, (ending, text, usage, error, status) = OUTCOMES[name]
    read = reading(name)
    read.feed(sample(name))
    outcome = read.finish(exit_code=exit_code)
    assert (outcome.ending, outcome.text, outcome.usage) == (ending, text, usage)
    assert (outcome.api_status, outcome.model, outcome.skipped_lines) == (status, "gpt-5.5", 0)
    assert outcome.error.startswith(error)
    assert bool(outcome.error) == (ending is not Ending.DONE)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_its_events_are_the_same_however_the_output_is_cut(size: int) -> None:
    read, data = reading(), sample("success")
    events = [event for n in range(0, len(data), size) for event in read.feed(data[n : n + size])]
    assert [event for event in events if not isinstance(event, SessionNamed)] == [
        ToolStarted("item_0", "apply_patch", "/workspace/hello.txt"),
        ToolEnded("item_0", failed=False, summary=""),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        ToolStarted("item_2", "shell", "echo out; false"),
        ToolEnded("item_2", failed=True, summary="out"),
        ToolStarted("item_3", "mcp__adder__add", '{"a": 1, "b": 2}'),
        ToolEnded("item_3", failed=False, summary="sum 3"),
        Said("All done."),
        Spent(FOUR),
    ]


def test_its_session_is_named_by_the_first_line() -> None:
    first = sample("success").splitlines(keepends=True)[0]
    assert reading().feed(first) == [SessionNamed(json.loads(first)["thread_id"], "gpt-5.5")]
    hostile = first.replace(b"01a1", b"../a")
    assert reading().feed(hostile) == []


def test_retries_and_errors_are_told_apart() -> None:
    events = reading().feed(sample("error_401"))
    said = "unexpected status 401 Unauthorized: wrong key"
    retries = [event for event in events if isinstance(event, Retrying)]
    assert [(event.attempt, event.of, event.status) for event in retries] == [
        (n, 6, 401) for n in range(1, 7)
    ]
    assert all(event.message.startswith(said) for event in retries)
    [error] = [event for event in events if isinstance(event, Erred)]
    assert (error.message.startswith(said), error.status) == (True, 401)


def test_only_one_that_waits_for_a_network_is_not_given_all_the_time() -> None:
    read = reading()
    assert read.patience_s is None
    read.feed(sample("no_network"))
    assert read.patience_s == 60.0
    read.feed(b'{"type":"item.completed","item":{"type":"reasoning"}}\n')
    assert read.patience_s is None


BEGUN = (
    b'{"type":"thread.started","thread_id":"01a1ff37-f31f-78c0-a4bf-790b9ec89e3f"}\n{"type":"turn.started"}\n'
)


@pytest.mark.parametrize(
    ("data", "exit_code", "stderr", "ending"),
    [
        (BEGUN, 1, "", Ending.INTERRUPTED),  # SIGINT is told by nothing else
        (BEGUN, None, "", Ending.INTERRUPTED),
        (BEGUN, 137, "", Ending.INTERRUPTED),
        (b"", None, "", Ending.INTERRUPTED),
        (b"", 1, "Error: thread/resume: no rollout found for thread id x", Ending.SESSION_UNKNOWN),
        (b"", 1, "Error: this thread already has an active writer", Ending.NOT_STARTED),
        (BEGUN + b'{"type":"turn.completed","usage":{}}\n', 1, "", Ending.FAILED),
        (BEGUN + b'{"type":"turn.completed","usage":{}}\n', None, "", Ending.INTERRUPTED),
    ],
)
def test_an_end_without_words_is_classified(
    data: bytes, exit_code: int | None, stderr: str, ending: Ending
) -> None:
    read = reading()
    read.feed(data)
    outcome = read.finish(exit_code=exit_code, stderr=stderr)
    assert (outcome.ending, outcome.error) == (ending, stderr)


def test_what_a_conversation_used_before_is_in_its_file() -> None:
    line = {"payload": {"type": "token_count", "info": {"total_token_usage": {"input_tokens": 30}}}}
    older = {"payload": {"type": "token_count", "info": {"total_token_usage": {"input_tokens": 10}}}}
    none_yet = {"payload": {"type": "token_count", "info": None}}
    lines = [older, line, none_yet, {"payload": "token_count"}]
    rollout = b"\n".join(json.dumps(each).encode() for each in lines) + b'\n{"payload":{"type":"token_count'
    assert thread_total(rollout) == Usage(30)
    assert thread_total(b'"token_count" {"a": 1}\n\xff') is None


def test_where_that_is_not_known_no_figure_is_guessed() -> None:
    read = CodexReading("gpt-5.5", NONE)
    read.feed(sample("resumed"))
    assert read.finish(exit_code=0).usage == NONE


@settings(deadline=None)
@given(st.data())
def test_no_bytes_break_it(data: st.DataObject) -> None:
    lines = sample("success").splitlines()
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
    item = st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["command_execution", "file_change", "mcp_tool_call", "agent_message", "error"]
            )
        },
        optional=dict.fromkeys(
            ("id", "text", "command", "changes", "result", "error", "status", "server"), values
        ),
    )
    line = st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["item.started", "item.completed", "error", "turn.completed", "turn.failed"]
            )
        },
        optional={"item": item | values, "usage": values, "error": values, "message": values | st.text()},
    )
    fed = data.draw(
        st.lists(st.sampled_from(lines) | line.map(lambda o: json.dumps(o).encode()) | st.binary())
    )
    read = reading()
    events: list[AgentEvent] = [event for each in fed for event in read.feed(each + b"\n")]
    outcome = read.finish(exit_code=0)
    assert isinstance(outcome, Outcome)
    json.dumps([str(event) for event in events]).encode()
