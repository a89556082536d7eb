"""What starts OpenCode, what is made of its lines, and what its database tells: recorded and hostile."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.agents import (
    AgentTurn,
    Binding,
    Ending,
    FileChanged,
    McpServer,
    OpenCode,
    PermissionAsked,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
    find_session,
)
from hutch.agents.opencode_events import OpenCodeReading
from hutch.errors import HutchError

SAMPLES = Path(__file__).parent / "samples/opencode"
BINARY = Path("/srv/opencode")
ID = "ses_e00d7d3b4ffesnsCtU74Q3fh2M"
FIRST = AgentTurn("--help me", "", resumes=False)
HEAD = ("/opt/agent/opencode", "run", "--format", "json", "--auto", "--log-level", "ERROR", "--model")
THREE = Usage(3000, 150, 200, 30, 0.01519)


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.jsonl").read_bytes()


def config(turn: AgentTurn, base_url: str = "") -> dict[str, object]:
    said: dict[str, object] = json.loads(
        OpenCode(BINARY, base_url).command(turn).env["OPENCODE_CONFIG_CONTENT"]
    )
    return said


def refused(turn: AgentTurn) -> str:
    with pytest.raises(HutchError) as caught:
        OpenCode(BINARY).command(turn)
    assert caught.value.code == "turn_invalid"
    return caught.value.message


def test_a_new_conversation_has_a_title_and_no_id() -> None:
    command = OpenCode(BINARY).command(FIRST)
    assert command.argv == (*HEAD, "anthropic/claude-opus-5-5", "--title", "Hutch")
    assert command.stdin == b"--help me"  # never an argument
    assert command.env["XDG_DATA_HOME"] == "/workspace/.hutch/opencode"
    assert command.env["PWD"] == ""
    assert command.bindings == (Binding(BINARY, PurePosixPath("/opt/agent/opencode")),)
    assert command.hosts == ("api.anthropic.com:443",)
    assert OpenCode(BINARY).new_session_id() == ""


def test_a_turn_with_everything() -> None:
    turn = replace(
        FIRST,
        session_id=ID,
        resumes=True,
        volume=PurePosixPath("/data"),
        model="mine/llama",
        instructions="Be brief.",
        skills={"greet": {"SKILL.md": "Say hello."}},
        servers={"a": McpServer(("x", "y"), {"V": "1"}), "b": McpServer(url="https://mcp.example/x")},
        max_turns=3,
    )
    command = OpenCode(BINARY, "http://127.0.0.1:8787/v1").command(turn)
    assert command.argv == (*HEAD, "mine/llama", "--session", ID)
    assert command.env["XDG_DATA_HOME"] == "/data/.hutch/opencode"
    assert command.given["instructions.md"] == b"Be brief."
    assert command.given["skills/greet/SKILL.md"] == b"Say hello."
    assert command.hosts == ("127.0.0.1:8787", "mcp.example:443")
    said = config(turn, "http://127.0.0.1:8787/v1")
    assert said["provider"] == {
        "mine": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"apiKey": "{env:OPENAI_API_KEY}", "baseURL": "http://127.0.0.1:8787/v1"},
            "models": {"llama": {}},
        }
    }
    assert said["enabled_providers"] == ["mine"]
    assert said["agent"] == {"build": {"steps": 3}}
    assert said["mcp"] == {
        "a": {"type": "local", "command": ["x", "y"], "environment": {"V": "1"}},
        "b": {"type": "remote", "url": "https://mcp.example/x", "headers": {}, "oauth": False},
    }


def test_a_provider_that_it_knows_has_its_host_and_its_key() -> None:
    turn = replace(FIRST, model="openrouter/openai/gpt-5")
    assert OpenCode(BINARY).command(turn).hosts == ("openrouter.ai:443",)
    options = {"apiKey": "{env:OPENROUTER_API_KEY}"}
    assert config(turn)["provider"] == {"openrouter": {"options": options, "models": {"openai/gpt-5": {}}}}


def test_what_it_cannot_do_is_refused() -> None:
    assert "provider 'mine'" in refused(replace(FIRST, model="mine/llama"))
    assert "model 'opus'" in refused(replace(FIRST, model="opus"))
    assert "session id" in refused(replace(FIRST, session_id="--help", resumes=True))
    assert "budget" in refused(replace(FIRST, budget_usd=1.0))
    assert "on this host itself" in refused(replace(FIRST, protects_itself=True))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_its_events_are_the_same_however_the_output_is_cut(size: int) -> None:
    read, data = OpenCodeReading("m"), sample("success")
    events = [event for n in range(0, len(data), size) for event in read.feed(data[n : n + size])]
    named, *rest = [event for event in events if not isinstance(event, Spent)]
    assert isinstance(named, SessionNamed)
    calls = [event.call_id for event in rest if isinstance(event, ToolStarted)]
    assert rest == [
        ToolStarted(calls[0], "write", "/workspace/hello.txt"),
        ToolEnded(calls[0], failed=False, summary="Wrote file successfully."),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        ToolStarted(calls[1], "bash", "id -u; echo out"),
        ToolEnded(calls[1], failed=False, summary="1000 out"),
        Said("All done."),
    ]
    outcome = read.finish(exit_code=0)
    assert (outcome.ending, outcome.text, outcome.usage) == (Ending.DONE, "All done.", THREE)
    assert (outcome.session_id, outcome.model, outcome.error) == (named.session_id, "m", "")


@pytest.mark.parametrize(
    ("name", "exit_code", "stderr", "ending", "error", "status"),
    [
        ("error_400", 1, "", Ending.API_ERROR, "no heron", 400),
        ("error_429", 1, "", Ending.API_ERROR, "no heron", 429),
        ("unknown_model", 1, "", Ending.FAILED, "Unexpected server error", None),
        (
            "",
            1,
            "\x1b[91m\x1b[1mError: \x1b[0mSession not found",
            Ending.SESSION_UNKNOWN,
            "Error: Session",
            None,
        ),
        ("", 1, "no such option", Ending.NOT_STARTED, "no such option", None),
        ("success", None, "", Ending.INTERRUPTED, "", None),
        ("", 143, "", Ending.INTERRUPTED, "", None),
    ],
)
def test_a_turn_ends_as_its_events_say(
    name: str, exit_code: int | None, stderr: str, ending: Ending, error: str, status: int | None
) -> None:
    read = OpenCodeReading()
    read.feed(sample(name) if name else b"")
    outcome = read.finish(exit_code=exit_code, stderr=stderr)
    assert (outcome.ending, outcome.api_status) == (ending, status)
    assert outcome.error.startswith(error)
    assert outcome.usage.is_complete == (ending is not Ending.INTERRUPTED)


def line(kind: str, **part: object) -> bytes:
    return json.dumps({"type": kind, "sessionID": ID, "part": part}).encode() + b"\n"


def test_a_call_that_its_rules_refuse_is_no_success_though_it_exits_with_0() -> None:
    state = {
        "status": "error",
        "input": {"command": "ls"},
        "error": "The user rejected permission to use it.",
    }
    read = OpenCodeReading()
    events = read.feed(
        line("step_start")
        + line("tool_use", tool="bash", callID="c", state=state)
        + line("step_finish", reason="tool-calls", tokens={"input": 1})
    )
    assert PermissionAsked("bash", "ls") in events
    outcome = read.finish(exit_code=0)
    assert (outcome.ending, outcome.denied) == (Ending.FAILED, 1)
    assert "its own rules" in outcome.error


def test_thoughts_are_output_and_what_has_no_price_costs_nobody_knows_what() -> None:
    read = OpenCodeReading()
    tokens = {"input": 5, "output": 3, "reasoning": 4, "cache": {"read": 2, "write": 1}}
    read.feed(line("step_finish", reason="stop", tokens=tokens, cost=0))
    assert read.finish(exit_code=0).usage == Usage(5, 7, 2, 1, None)


def test_an_agent_below_it_makes_the_figures_a_lower_bound() -> None:
    read = OpenCodeReading()
    read.feed(line("tool_use", tool="task", callID="c", state={"status": "completed"}))
    read.feed(line("step_finish", reason="stop", tokens={"input": 5}, cost=0.1))
    assert read.finish(exit_code=0).usage == Usage(5, cost_usd=0.1, is_complete=False)


def test_while_a_step_is_at_work_it_may_be_silent() -> None:
    read = OpenCodeReading()
    assert read.patience_s is not None
    read.feed(line("step_start"))
    assert read.patience_s is None
    read.feed(line("step_finish", reason="tool-calls"))
    assert read.patience_s is not None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=60)), st.sampled_from(["text", "tool_use", "step_finish", "error"]), st.data()
)
def test_any_bytes_are_read_to_an_end(chunks: list[bytes], kind: str, data: st.DataObject) -> None:
    values = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)
    keys = st.sampled_from(["part", "error", "state", "tokens", "cost", "sessionID", "input", "data"])
    odd = data.draw(st.dictionaries(keys, values | st.dictionaries(keys, values)))
    read = OpenCodeReading()
    for chunk in [*chunks, b"\n", json.dumps({"type": kind, **odd}).encode() + b"\n"]:
        read.feed(chunk)
    read.finish(exit_code=1, stderr="x")


# The database ----------------------------------------------------------------------


def database(folder: Path) -> sqlite3.Connection:
    place = folder / ".hutch/opencode/opencode"
    place.mkdir(parents=True)
    made = sqlite3.connect(place / "opencode.db", isolation_level=None)
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("CREATE TABLE session (id TEXT, parent_id TEXT, time_updated INTEGER)")
    return made


def test_conversations_are_read_from_a_database_that_nobody_closed(tmp_path: Path) -> None:
    made, other = database(tmp_path), ID.replace("e0", "f1")
    made.execute("INSERT INTO session VALUES (?, NULL, 1), ('ses_below0000000', ?, 9)", (ID, ID))
    assert OpenCode(BINARY).sessions(tmp_path) == (ID,)
    found = find_session(tmp_path, OpenCode(BINARY))
    assert found is not None
    assert found.session_id == ID
    made.execute("INSERT INTO session VALUES (?, NULL, 2), ('--help', NULL, 3), (x'00', NULL, 4)", (other,))
    assert OpenCode(BINARY).sessions(tmp_path) == (other, ID)
    assert find_session(tmp_path, OpenCode(BINARY)) is None  # of several none is guessed
    assert not OpenCode(BINARY).has_login(tmp_path)
    made.close()


def test_a_database_that_is_none_holds_nothing(tmp_path: Path) -> None:
    assert OpenCode(BINARY).sessions(tmp_path) == ()
    made = database(tmp_path)
    made.execute("DROP TABLE session")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    made.execute(
        f"CREATE VIEW session AS SELECT i AS id, NULL AS parent_id, i AS time_updated FROM ({endless})"
    )
    assert OpenCode(BINARY).sessions(tmp_path) == ()  # within its time
    made.close()
    place = tmp_path / ".hutch/opencode/opencode/opencode.db"
    place.unlink()
    place.symlink_to("/etc/passwd")
    assert OpenCode(BINARY).sessions(tmp_path) == ()
    place.unlink()
    place.write_bytes(b"no database" * 999)
    assert OpenCode(BINARY).sessions(tmp_path) == ()


def test_a_key_that_is_missing_or_wrong_is_no_overload() -> None:
    read = OpenCodeReading()
    read.feed(sample("error_429").replace(b'"APIError"', b'"ProviderAuthError"').replace(b"429", b"null"))
    outcome = read.finish(exit_code=1)
    assert (outcome.ending, outcome.api_status) == (Ending.API_ERROR, 401)
