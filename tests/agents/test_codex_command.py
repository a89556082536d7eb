"""How a turn of Codex is started, and where its conversations are."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from hutch.agents import (
    GIVEN,
    AgentTurn,
    Binding,
    Codex,
    McpServer,
    Usage,
    find_session,
    lay_state,
    read_session,
)
from hutch.agents.stored import new_uuid
from hutch.errors import HutchError

ID = "01a1ff37-f31f-78c0-a4bf-790b9ec89e3f"
AGENT = Codex(Path("/nowhere/codex"))
TURN = AgentTurn("Do it.", "", resumes=False)


def settings(turn: AgentTurn = TURN, agent: Codex = AGENT) -> dict[str, Any]:
    return tomllib.loads(agent.command(turn).given["hutch.config.toml"].decode())


def test_a_first_turn() -> None:
    command = AGENT.command(TURN)
    assert command.argv == (
        *("/opt/agent/codex/bin/codex", "exec", "--profile", "hutch"),
        *("--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", "-"),
    )
    assert command.stdin == b"Do it."
    assert command.env == {
        "CODEX_HOME": "/workspace/.hutch/codex",
        "CODEX_SQLITE_HOME": "/tmp/codex-sqlite",
        "TERM": "dumb",
    }
    assert command.hosts == ("api.openai.com:443",)
    assert command.state["codex/hutch.config.toml"] == GIVEN / "hutch.config.toml"


def test_its_model_is_asked_directly_and_nobody_besides() -> None:
    said = settings()
    assert said["model_providers"]["hutch"] | {"base_url": "", "env_key": ""} == {
        "name": "OpenAI",
        "base_url": "",
        "env_key": "",
        "wire_api": "responses",
        "request_max_retries": 2,
        "stream_max_retries": 6,
        "stream_idle_timeout_ms": 300_000,
    }
    assert (said["model_provider"], said["check_for_update_on_startup"]) == ("hutch", False)
    assert (said["analytics"], said["features"]) == ({"enabled": False}, {"plugins": False})
    gateway = Codex(Path("/nowhere/codex"), "http://127.0.0.1:8787/v1")
    assert settings(agent=gateway)["model_providers"]["hutch"]["base_url"] == "http://127.0.0.1:8787/v1"
    assert gateway.command(TURN).hosts == ("127.0.0.1:8787",)


def test_a_next_turn_with_all_that_one_can_have() -> None:
    turn = replace(
        TURN,
        session_id=ID,
        resumes=True,
        model="gpt-5.5",
        volume=PurePosixPath("/session"),
        instructions="Mention the heron.",
        skills={"tidy": {"SKILL.md": "…"}},
        output_schema={"type": "object"},
        servers={
            "a": McpServer(("prog", "-x"), {"WORD": "secret"}),
            "b": McpServer(url="https://mcp.example.org/mcp", headers={"X-Y": "z"}),
        },
    )
    command = AGENT.command(turn)
    assert command.argv[1:] == (
        *("exec", "--profile", "hutch", "resume", ID, "--json", "--dangerously-bypass-approvals-and-sandbox"),
        *("--skip-git-repo-check", "--model", "gpt-5.5", "--output-schema", "/opt/given/schema.json", "-"),
    )
    assert command.env["CODEX_HOME"] == "/session/.hutch/codex"
    assert sorted(command.given) == ["hutch.config.toml", "schema.json", "skills/tidy/SKILL.md"]
    assert command.stdin == b"# How to work, in this turn\n\nMention the heron.\n\n# What to do\n\nDo it."
    assert settings(turn)["mcp_servers"] == {
        "a": {"command": "prog", "args": ["-x"], "env": {"WORD": "secret"}, "required": True},
        "b": {"url": "https://mcp.example.org/mcp", "http_headers": {"X-Y": "z"}, "required": True},
    }
    assert command.hosts == ("api.openai.com:443", "mcp.example.org:443")
    assert not any("secret" in word for word in (*command.argv, *command.env.values()))


@pytest.mark.parametrize(
    "turn",
    [
        replace(TURN, max_turns=3),
        replace(TURN, protects_itself=True),
        replace(TURN, model="-x"),
        replace(TURN, session_id="../x", resumes=True),
        replace(TURN, skills={"a": {}}),
        replace(TURN, servers={"a b": McpServer(("x",))}),
        replace(TURN, servers={"a": McpServer()}),
        replace(TURN, servers={"a": McpServer(("x",), url="http://a")}),
        replace(TURN, servers={"a": McpServer(("x",), {"A-B": "c"})}),
    ],
)
def test_what_it_cannot_do_is_refused(turn: AgentTurn) -> None:
    with pytest.raises(HutchError) as refused:
        AGENT.command(turn)
    assert refused.value.code == "turn_invalid"
    assert refused.value.hint


def test_its_whole_package_is_bound_where_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    binary = tmp_path / "bin" / "codex"
    binary.write_bytes(b"\x7fELF")
    (tmp_path / "bin" / "codex-code-mode-host").write_bytes(b"\x7fELF")
    inside = PurePosixPath("/opt/agent/codex/bin")
    assert Codex(binary).command(TURN).bindings == (
        Binding(binary, inside / "codex"),
        Binding(binary.with_name("codex-code-mode-host"), inside / "codex-code-mode-host"),
    )
    (tmp_path / "codex-package.json").touch()
    assert Codex(binary).command(TURN).bindings == (Binding(tmp_path, inside.parent),)


def test_a_script_in_its_place_is_not_taken(tmp_path: Path) -> None:
    script = tmp_path / "codex"
    script.write_text("#!/usr/bin/env node\n")
    script.chmod(0o755)
    with pytest.raises(HutchError) as refused:
        Codex.find(script)
    assert (refused.value.code, "hutch[codex]" in refused.value.hint) == ("agent_missing", True)


# Its conversations ------------------------------------------------------------


def rollout(volume: Path, session_id: str, text: str = "{}\n", day: str = "2026/11/21") -> Path:
    path = volume / ".hutch/codex/sessions" / day / f"rollout-2026-11-21T17-46-59-{session_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_its_conversations_are_found_newest_first(tmp_path: Path) -> None:
    assert AGENT.sessions(tmp_path) == ()
    os.utime(rollout(tmp_path, ID), (1, 1))
    newer = new_uuid()
    rollout(tmp_path, newer, day="2026/11/22")
    rollout(tmp_path, new_uuid(), text="")
    rollout(tmp_path, "no-uuid")
    assert AGENT.sessions(tmp_path) == (newer, ID)
    assert find_session(tmp_path, AGENT) is None  # of several none is guessed


def test_a_hostile_volume_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    rollout(outside, ID)
    volume = tmp_path / "volume"
    (volume / ".hutch/codex").mkdir(parents=True)
    (volume / ".hutch/codex/sessions").symlink_to(outside / ".hutch/codex/sessions")
    assert AGENT.sessions(volume) == ()


def test_what_it_needs_is_laid_without_touching_what_is_there(tmp_path: Path) -> None:
    own = tmp_path / ".hutch/codex/skills/mine/SKILL.md"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    state = AGENT.command(TURN).state
    lay_state(tmp_path, state)
    link = tmp_path / ".hutch/codex/hutch.config.toml"
    assert (own.read_text(), link.readlink()) == ("mine", Path("/opt/given/hutch.config.toml"))
    before = link.lstat()
    lay_state(tmp_path, state)
    assert link.lstat() == before
    assert read_session(tmp_path) is None

    link.unlink()
    link.mkdir()
    with pytest.raises(HutchError) as refused:
        lay_state(tmp_path, state)
    assert refused.value.code == "volume_state_invalid"


def test_what_was_used_before_is_read_from_the_conversation_s_file(tmp_path: Path) -> None:
    count = '{"payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":30}}}}\n'
    used = b'{"type":"turn.completed","usage":{"input_tokens":50}}\n'
    turn = replace(TURN, session_id=ID, resumes=True)

    def spent() -> Usage:
        reading = AGENT.reading(turn, tmp_path)
        reading.feed(used)
        return reading.finish(exit_code=0).usage

    assert spent() == Usage(is_complete=False)  # there is no such file
    path = rollout(tmp_path, ID)
    assert spent() == Usage(50)  # killed before anything was counted
    path.write_text(count)
    assert spent() == Usage(20)
