"""What the adapter makes of Claude Code's lines: recorded ones, and hostile ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.agents import (
    AgentEvent,
    Answered,
    Ending,
    FileChanged,
    Outcome,
    PermissionAsked,
    Retrying,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.claude_events import ClaudeReading
from hutch.agents.lines import MAX_LINE

SAMPLES = Path(__file__).parent / "samples"
ID = "11111111-2222-4333-8444-555555555555"
MODEL = "claude-opus-5-5"
NOTHING = Usage(cost_usd=0.0)
ONE = Usage(1000, 50, 200, 30, 0.00519)
TWO = Usage(2000, 100, 400, 60, 0.01038)
THREE = Usage(3000, 150, 600, 90, 0.01557)

BUSY = (
    "API Error: 529 busy. This is a server-side issue, usually temporary — try again in a moment."
    " If it persists, check your inference gateway (model.internal)."
)
OUTCOMES = {  # sample -> its exit code, and (ending, text, usage, error, status, denied)
    "success": (0, (Ending.DONE, "All done.", THREE, "", None, 0)),
    "resumed": (0, (Ending.DONE, "Again.", ONE, "", None, 0)),
    "two_results": (0, (Ending.DONE, "I wait.", THREE, "", None, 0)),
    "refused_tool": (0, (Ending.DONE, "It would not.", TWO, "", None, 1)),
    "unpriced_model": (0, (Ending.DONE, "x", Usage(1000, 50, 200, 30, None), "", None, 0)),
    "interrupted": (0, (Ending.INTERRUPTED, "", ONE, "", None, 0)),
    "turn_limit": (1, (Ending.TURN_LIMIT, "", ONE, "Reached maximum number of turns (1)", None, 0)),
    "budget": (1, (Ending.BUDGET, "", ONE, "Reached maximum budget ($0.001)", None, 0)),
    "wrong_key": (
        1,
        (Ending.API_ERROR, "", NOTHING, "Failed to authenticate. API Error: 401 bad key", 401, 0),
    ),
    "no_key": (1, (Ending.API_ERROR, "", NOTHING, "Not logged in · Please run /login", 401, 0)),
    "busy": (
        1,
        (
            Ending.API_ERROR,
            "",
            NOTHING,
            BUSY,
            529,
            0,
        ),
    ),
    "unknown_session": (
        1,
        (
            Ending.SESSION_UNKNOWN,
            "",
            NOTHING,
            "No conversation found with session ID: 99999999-2222-4333-8444-555555555555",
            None,
            0,
        ),
    ),
}


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.jsonl").read_bytes()


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def read(data: bytes, *, exit_code: int | None = 0, stderr: str = "") -> tuple[list[AgentEvent], Outcome]:
    reading = ClaudeReading()
    return reading.feed(data), reading.finish(exit_code=exit_code, stderr=stderr)


def test_every_sample_has_its_outcome_here() -> None:
    assert {path.stem for path in SAMPLES.glob("*.jsonl")} == set(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_recorded_turn_ends_as_it_did(name: str) -> None:
    exit_code, expected = OUTCOMES[name]
    _, one = read(sample(name), exit_code=exit_code)
    assert (one.ending, one.text, one.usage, one.error, one.api_status, one.denied) == expected
    assert one.skipped_lines == 0


def test_a_turn_is_told_in_events() -> None:
    events, outcome = read(sample("success"))
    write, shell = "toolu_afb8aa9ebd02c0a5047bd545", outcome_call(events)
    so_far = [
        Usage(1000 * n, n, 200 * n, 30 * n, None, is_complete=False)  # the answers' lengths come last
        for n in (1, 2, 3)
    ]
    wrote = "File created successfully at: /workspace/hello.txt (file state is current in your context — no"
    assert events == [
        SessionNamed(ID, MODEL),
        ToolStarted(write, "Write", "/workspace/hello.txt"),
        Spent(so_far[0]),
        ToolEnded(write, failed=False, summary=wrote + " need to Read it back)"),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        Spent(so_far[1]),
        ToolStarted(shell, "Bash", "cat hello.txt; false"),
        ToolEnded(shell, failed=True, summary="Exit code 1 hi"),
        Said("All done."),
        Spent(so_far[2]),
        Spent(THREE),
    ]
    assert outcome.session_id == ID


def outcome_call(events: list[AgentEvent]) -> str:
    [call] = [event.call_id for event in events if isinstance(event, ToolStarted) and event.tool == "Bash"]
    return call


def test_a_retry_is_an_event() -> None:
    events, _ = read(sample("busy"))
    [retry] = [event for event in events if isinstance(event, Retrying)]
    assert (retry.attempt, retry.of, retry.status, retry.message) == (1, 1, 529, "overloaded")
    assert 0 < retry.wait_s < 2


def test_a_turn_that_was_killed_spent_at_least_what_was_seen() -> None:
    whole = sample("success").splitlines(keepends=True)
    _, outcome = read(b"".join(whole[:-1]), exit_code=None)
    assert (outcome.ending, outcome.text) == (Ending.INTERRUPTED, "All done.")
    assert outcome.usage == Usage(3000, 3, 600, 90, None, is_complete=False)


def test_a_kill_after_the_result_but_before_any_more_work_takes_nothing_away() -> None:
    _, outcome = read(sample("success"), exit_code=137)
    assert (outcome.ending, outcome.usage) == (Ending.DONE, THREE)


def test_a_kill_in_the_work_after_a_result_is_an_interruption() -> None:
    init = sample("success").splitlines(keepends=True)[0]
    _, outcome = read(sample("success") + init, exit_code=137)
    assert outcome.ending is Ending.INTERRUPTED
    assert outcome.usage == Usage(3000, 150, 600, 90, None, is_complete=False)


def test_a_process_that_never_spoke_did_not_start_and_its_stderr_says_why() -> None:
    _, outcome = read(b"", exit_code=1, stderr="\n Error: Session ID x is already in use.\n")
    assert (outcome.ending, outcome.error) == (Ending.NOT_STARTED, "Error: Session ID x is already in use.")
    assert (outcome.session_id, outcome.usage) == (None, NOTHING)


def test_the_words_of_a_subagent_are_not_the_agents() -> None:
    message = {"id": "m", "content": [{"type": "text", "text": "inner"}]}
    events, outcome = read(lines({"type": "assistant", "message": message, "parent_tool_use_id": "t"}))
    assert [event for event in events if isinstance(event, Said)] == []
    assert outcome.text == ""


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_the_pieces_in_which_it_comes_do_not_matter(data: st.DataObject) -> None:
    whole = sample("two_results")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reading = ClaudeReading()
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        events += reading.feed(whole[start:end])
    assert (events, reading.finish(exit_code=0)) == read(whole)


def test_the_last_line_needs_no_end() -> None:
    assert read(sample("success").rstrip())[1] == read(sample("success"))[1]


KEYS = (
    *("type", "subtype", "message", "content", "id", "name", "input", "usage", "session_id", "model", "text"),
    *("tool_use_id", "is_error", "model_usage_since_last_result", "costUSD", "costBasis", "inputTokens"),
    *("errors", "result", "attempt"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)
LINE = st.builds(
    lambda kind, rest: rest | {"type": kind} if isinstance(rest, dict) else rest,
    st.sampled_from(["system", "assistant", "user", "result"]),
    JSON,
)


@given(st.lists(LINE | st.binary(max_size=40), max_size=8), st.one_of(st.none(), st.integers(0, 255)))
@settings(max_examples=300, deadline=None)
def test_no_line_breaks_the_reading(items: list[object], exit_code: int | None) -> None:
    data = b"".join(item + b"\n" if isinstance(item, bytes) else lines(item) for item in items)
    events, outcome = read(data, exit_code=exit_code)
    repr((events, outcome)).encode()
    assert outcome.usage.input_tokens >= 0
    assert outcome.usage.cost_usd is None or outcome.usage.cost_usd >= 0


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b'"a string"',
        b"null",
        b"x" * (MAX_LINE + 1),
        b'{"type":"system"}' + b" " * MAX_LINE,
    ],
    ids=[
        "text",
        "bytes",
        "deep array",
        "deep object",
        "number",
        "string",
        "null",
        "endless",
        "endless object",
    ],
)
def test_a_line_that_is_no_event_is_skipped_and_counted(line: bytes) -> None:
    events, outcome = read(line + b"\n" + sample("success"))
    assert (outcome.ending, outcome.usage, outcome.skipped_lines) == (Ending.DONE, THREE, 1)
    assert events == read(sample("success"))[0]


def test_what_its_own_rules_refused_is_told() -> None:
    [asked] = [event for event in read(sample("refused_tool"))[0] if isinstance(event, PermissionAsked)]
    assert (asked.tool, "rm" in asked.summary) == ("Bash", True)


def test_a_result_in_a_form_is_told_as_it_is() -> None:
    line = {"type": "result", "subtype": "success", "is_error": False, "structured_output": {"sum": 3}}
    events, outcome = read(json.dumps(line).encode() + b"\n")
    assert outcome.result == {"sum": 3}
    assert Answered({"sum": 3}) in events


def test_a_stream_without_a_line_end_takes_no_memory() -> None:
    reading = ClaudeReading()
    for _ in range(40):
        reading.feed(b"x" * (1 << 20))
        assert len(reading._lines._lines._rest) <= MAX_LINE
    assert reading.finish(exit_code=0).skipped_lines == 1


def test_forged_figures_do_not_count() -> None:
    figures = {
        "inputTokens": -5,
        "outputTokens": True,
        "cacheReadInputTokens": 10**30,
        "cacheCreationInputTokens": "7",
        "costUSD": 10**400,
        "costBasis": "list",
    }
    forged = {"type": "result", "model_usage_since_last_result": {"m": figures}, "session_id": "--resume"}
    _, outcome = read(lines(forged))
    assert (outcome.usage, outcome.session_id, outcome.ending) == (Usage(), None, Ending.FAILED)
    for cost in (float("nan"), float("inf"), -1.0):
        forged["model_usage_since_last_result"] = {"m": figures | {"costUSD": cost}}
        assert read(lines(forged))[1].usage.cost_usd is None


def test_text_is_cut_and_made_valid() -> None:
    line = {"type": "result", "subtype": "success", "is_error": False, "result": "\ud800" + "a" * 1_000_000}
    _, outcome = read(lines(line))
    assert outcome.text == "?" + "a" * 255_998 + "…"
