"""What starts Gemini CLI, what is made of its lines, and what it leaves in a volume: recorded and hostile."""

import json
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.agents import (
    GIVEN,
    AgentTurn,
    Binding,
    Ending,
    FileChanged,
    Gemini,
    McpServer,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.gemini_events import GeminiReading
from hutch.errors import HutchError

SAMPLES = Path(__file__).parent / "samples/gemini"
ID = "11111111-2222-4333-8444-555555555555"
AGENT = Gemini(Path("/srv/gemini-cli"), Path("/srv/node"))
FIRST = AgentTurn("--help me", ID, resumes=False)
HEAD = ("/opt/agent/node", "/opt/agent/gemini/bundle/gemini.js", "--output-format", "stream-json")
SKIPPED = ("--approval-mode", "yolo", "--model")


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.jsonl").read_bytes()


def refused(turn: AgentTurn) -> str:
    with pytest.raises(HutchError) as caught:
        AGENT.command(turn)
    assert caught.value.code == "turn_invalid"
    return caught.value.message


def test_a_new_conversation_gets_the_id_that_we_chose() -> None:
    command = AGENT.command(FIRST)
    assert command.argv == (*HEAD, *SKIPPED, "pro", "--session-id", ID)
    assert command.stdin == b"--help me"  # never an argument
    assert command.env["GEMINI_CLI_HOME"] == "/workspace/.hutch/gemini"
    assert command.env["GEMINI_CLI_TRUST_WORKSPACE"] == "true"
    assert command.bindings == (
        Binding(Path("/srv/node"), PurePosixPath("/opt/agent/node")),
        Binding(Path("/srv/gemini-cli"), PurePosixPath("/opt/agent/gemini")),
    )
    assert command.hosts == ("generativelanguage.googleapis.com:443",)
    assert command.state["gemini/.gemini/settings.json"] == GIVEN / "settings.json"
    said = json.loads(command.given["settings.json"])
    assert said["general"]["sessionRetention"] == {"enabled": False}
    assert said["security"] == {"auth": {"selectedType": "gemini-api-key"}}
    assert AGENT.secrets == ("GEMINI_API_KEY",)


def test_a_turn_with_everything() -> None:
    turn = replace(
        FIRST,
        resumes=True,
        volume=PurePosixPath("/data"),
        model="gemini-2.5-pro",
        instructions="Be brief.",
        skills={"greet": {"SKILL.md": "Say hello."}},
        servers={"a": McpServer(("x", "y"), {"V": "1"}), "b": McpServer(url="https://mcp.example/x")},
        max_turns=3,
    )
    command = replace(AGENT, base_url="http://127.0.0.1:8787").command(turn)
    given_folder = ("--include-directories", "/opt/given")
    assert command.argv == (*HEAD, *SKIPPED, "gemini-2.5-pro", "--resume", ID, *given_folder)
    assert command.env["GEMINI_CLI_HOME"] == "/data/.hutch/gemini"
    assert command.env["GOOGLE_GEMINI_BASE_URL"] == "http://127.0.0.1:8787"
    assert command.hosts == ("127.0.0.1:8787", "mcp.example:443")
    assert command.given["GEMINI.md"] == b"Be brief."
    assert command.given["skills/greet/SKILL.md"] == b"Say hello."
    said = json.loads(command.given["settings.json"])
    assert said["model"] == {"maxSessionTurns": 3}
    assert said["mcpServers"] == {
        "a": {"command": "x", "args": ["y"], "env": {"V": "1"}, "trust": True},
        "b": {"httpUrl": "https://mcp.example/x", "headers": {}, "trust": True},
    }


def test_what_it_cannot_do_is_refused() -> None:
    assert "session id" in refused(replace(FIRST, session_id="latest"))
    assert "model" in refused(replace(FIRST, model="--yolo"))
    assert "budget" in refused(replace(FIRST, budget_usd=1.0))
    assert "on this host itself" in refused(replace(FIRST, protects_itself=True))


def test_its_program_is_found_by_its_package_and_with_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("hutch.agents.gemini.in_package", lambda *_: iter(()))
    program = tmp_path / "lib/gemini-cli/bundle/gemini.js"
    program.parent.mkdir(parents=True)
    program.write_text("#!/usr/bin/env node")
    (program.parents[1] / "package.json").write_text("{}")
    with pytest.raises(HutchError, match="not installed"):
        Gemini.find()
    (tmp_path / "gemini").symlink_to(program)
    program.chmod(0o755)
    with pytest.raises(HutchError, match=r"no Node\.js") as caught:
        Gemini.find()
    assert "20 or newer" in caught.value.hint
    node = tmp_path / "node"
    node.write_bytes(b"\x7fELF")
    node.chmod(0o755)
    assert Gemini.find() == Gemini(program.parents[1], node)
    with pytest.raises(HutchError, match="is not its program"):
        Gemini.find(node)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_its_events_are_the_same_however_the_output_is_cut(size: int) -> None:
    read, data = GeminiReading(), sample("success")
    events = [event for n in range(0, len(data), size) for event in read.feed(data[n : n + size])]
    calls = [event.call_id for event in events if isinstance(event, ToolStarted)]
    assert [event for event in events if not isinstance(event, Spent)] == [
        SessionNamed(ID, "gemini-2.5-pro"),
        ToolStarted(calls[0], "write_file", "/workspace/hello.txt"),
        ToolEnded(calls[0], failed=False, summary=""),
        FileChanged("/workspace/hello.txt"),
        Said("I look."),
        ToolStarted(calls[1], "run_shell_command", "id -u; echo out; false"),
        ToolEnded(calls[1], failed=False, summary="1000 out"),  # it calls that a success
        Said("All done."),
    ]
    outcome = read.finish(exit_code=0)
    assert (outcome.ending, outcome.text, outcome.usage) == (Ending.DONE, "All done.", Usage(3000, 150, 200))
    assert (outcome.session_id, outcome.model) == (ID, "gemini-2.5-pro")


@pytest.mark.parametrize(
    ("name", "exit_code", "stderr", "ending", "status"),
    [
        ("error_400", 144, "", Ending.API_ERROR, 400),
        ("error_429", 173, "", Ending.API_ERROR, 429),  # its message has no status, its exit code has
        ("", 41, "Invalid auth method selected.", Ending.NOT_STARTED, None),
        ("", 42, "Error resuming session: Invalid session identifier", Ending.SESSION_UNKNOWN, None),
        ("", 53, "Reached max session turns", Ending.TURN_LIMIT, None),
        ("", None, "", Ending.INTERRUPTED, None),
        ("success", 137, "", Ending.INTERRUPTED, None),
    ],
)
def test_a_turn_ends_as_its_events_and_its_exit_code_say(
    name: str, exit_code: int | None, stderr: str, ending: Ending, status: int | None
) -> None:
    read = GeminiReading()
    read.feed(sample(name) if name else b"")
    outcome = read.finish(exit_code=exit_code, stderr=stderr)
    assert (outcome.ending, outcome.api_status) == (ending, status)
    if stderr:
        assert outcome.error == stderr


def test_pieces_of_text_are_one_message_and_thoughts_are_output() -> None:
    counts = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 5, "cached": 4, "input": 6}
    stats = {**counts, "models": {"gemini-9": {}}}
    read, events = GeminiReading(), []
    for said in (
        {"type": "init", "session_id": ID, "model": "pro"},
        {"type": "message", "role": "assistant", "content": "One ", "delta": True},
        {"type": "message", "role": "assistant", "content": "text.", "delta": True},
        {"type": "result", "status": "success", "stats": stats},
    ):
        events = read.feed(json.dumps(said).encode() + b"\n")
    assert events[0] == Said("One text.")
    outcome = read.finish(exit_code=0)
    assert (outcome.usage, outcome.model) == (Usage(6, 20, 4), "gemini-9")


def test_while_a_tool_is_at_work_it_may_be_silent() -> None:
    read = GeminiReading()
    assert read.patience_s is not None
    read.feed(b'{"type": "tool_use", "tool_id": "t", "tool_name": "run_shell_command"}\n')
    assert read.patience_s is None
    read.feed(b'{"type": "tool_result", "tool_id": "t", "status": "success"}\n')
    assert read.patience_s is not None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=60)),
    st.sampled_from(["init", "tool_use", "tool_result", "result"]),
    st.data(),
)
def test_any_bytes_are_read_to_an_end(chunks: list[bytes], kind: str, data: st.DataObject) -> None:
    values = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists)
    keys = st.sampled_from(["stats", "error", "models", "tool_id", "parameters", "content", "status"])
    odd = data.draw(st.dictionaries(keys, values | st.dictionaries(keys, values)))
    read = GeminiReading()
    for chunk in [*chunks, b"\n", json.dumps({"type": kind, **odd}).encode() + b"\n"]:
        read.feed(chunk)
    read.finish(exit_code=1, stderr="x")


def test_conversations_are_named_by_the_first_lines_of_their_files(tmp_path: Path) -> None:
    chats = tmp_path / ".hutch/gemini/.gemini/tmp/workspace/chats"
    chats.mkdir(parents=True)
    other = ID.replace("1", "6")

    def write(name: str, head: object, when: int) -> None:
        (chats / name).write_text(json.dumps(head) + "\n{...")
        os.utime(chats / name, (when, when))

    write("session-a.jsonl", {"sessionId": ID, "kind": "main"}, 1)
    write("session-b.jsonl", {"sessionId": other}, 2)
    write("session-c.jsonl", {"sessionId": ID.replace("1", "7"), "kind": "subagent"}, 3)
    write("session-d.jsonl", {"sessionId": "--help"}, 4)
    write("session-e.jsonl", ["x"], 5)
    os.mkfifo(chats / "session-f.jsonl")
    (chats / "session-g.jsonl").symlink_to("/etc/passwd")
    assert AGENT.sessions(tmp_path) == (other, ID)
    assert AGENT.sessions(tmp_path / "nowhere") == ()
    assert not AGENT.has_login(tmp_path)
