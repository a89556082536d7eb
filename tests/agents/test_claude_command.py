"""The command that starts Claude Code, word for word, and what it refuses to be given."""

import json
from pathlib import Path, PurePosixPath

import pytest

from hutch.agents import AgentTurn, Binding, ClaudeCode, McpServer
from hutch.errors import HutchError

ID = "11111111-2222-4333-8444-555555555555"
BINARY = Path("/srv/claude")
HEAD = (
    "/opt/agent/claude",
    "-p",
    "--dangerously-skip-permissions",
    "--output-format",
    "stream-json",
    "--verbose",
)
TAIL = ("--settings", '{"cleanupPeriodDays":3650}', "--system-prompt-snapshot", "off")
ENV = {
    "CLAUDE_CONFIG_DIR": "/workspace/.hutch/claude",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_EAGER_FLUSH": "1",
    "CLAUDE_CODE_MAX_RETRIES": "6",
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    "DISABLE_AUTOUPDATER": "1",
    "TERM": "dumb",
}


def test_a_new_conversation_gets_the_id_that_we_chose() -> None:
    command = ClaudeCode(BINARY).command(AgentTurn("--help me", ID, resumes=False))
    assert command.argv == (*HEAD, "--session-id", ID, *TAIL)
    assert command.stdin == b"--help me"  # never an argument
    assert command.env == ENV
    assert command.given == {}
    assert command.bindings == (Binding(BINARY, PurePosixPath("/opt/agent/claude")),)
    assert command.hosts == ("api.anthropic.com:443",)
    assert ClaudeCode(BINARY).secrets == (
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "ANTHROPIC_AUTH_TOKEN",
    )


def test_a_turn_with_everything() -> None:
    turn = AgentTurn(
        "go",
        ID,
        resumes=True,
        volume=PurePosixPath("/data"),
        model="opus",
        instructions="Be brief.",
        skills={"greet": {"SKILL.md": "Say hello.", "data/words.txt": "hello"}},
        max_turns=3,
        budget_usd=0.5,
    )
    command = ClaudeCode(BINARY, "http://127.0.0.1:8787", max_retries=0).command(turn)
    assert command.argv == (
        *(*HEAD, "--resume", ID, *TAIL, "--append-system-prompt-file", "/opt/given/instructions.md"),
        *("--add-dir", "/opt/given", "--model", "opus", "--max-turns", "3", "--max-budget-usd", "0.5"),
    )
    assert command.env == ENV | {
        "CLAUDE_CONFIG_DIR": "/data/.hutch/claude",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787",
    }
    assert command.given == {
        "instructions.md": b"Be brief.",
        ".claude/skills/greet/SKILL.md": b"Say hello.",
        ".claude/skills/greet/data/words.txt": b"hello",
    }
    assert command.hosts == ("127.0.0.1:8787",)


def test_a_turn_that_protects_itself_has_its_sandbox_on_and_takes_no_settings_of_the_volume() -> None:
    command = ClaudeCode(BINARY).command(AgentTurn("go", ID, resumes=False, protects_itself=True))
    sandbox = (
        '{"enabled":true,"failIfUnavailable":true,"allowUnsandboxedCommands":false,'
        '"autoAllowBashIfSandboxed":true}'
    )
    assert command.argv == (
        *("/opt/agent/claude", "-p", "--permission-mode", "acceptEdits", "--setting-sources", ""),
        "--strict-mcp-config",
        *("--output-format", "stream-json", "--verbose", "--session-id", ID, "--settings"),
        *(f'{{"cleanupPeriodDays":3650,"sandbox":{sandbox}}}', "--system-prompt-snapshot", "off"),
    )


def test_servers_and_a_schema_are_given_and_no_value_is_in_the_command_line() -> None:
    servers = {
        "a": McpServer(("prog", "-x"), {"WORD": "planted"}),
        "b": McpServer(url="https://mcp.example.org/mcp", headers={"X-Y": "planted"}),
    }
    turn = AgentTurn("go", ID, resumes=False, servers=servers, output_schema={"type": "object"}, max_turns=3)
    command = ClaudeCode(BINARY).command(turn)
    assert command.argv[-7:] == (
        *("--mcp-config", "/opt/given/mcp.json", "--strict-mcp-config"),
        *("--json-schema", '{"type":"object"}', "--max-turns", "3"),
    )
    assert json.loads(command.given["mcp.json"])["mcpServers"] == {
        "a": {"type": "stdio", "command": "prog", "args": ["-x"], "env": {"WORD": "planted"}},
        "b": {"type": "http", "url": "https://mcp.example.org/mcp", "headers": {"X-Y": "planted"}},
    }
    assert command.hosts == ("api.anthropic.com:443", "mcp.example.org:443")
    assert not any("planted" in word for word in (*command.argv, *command.env.values()))


def test_no_server_is_started_on_this_host_itself() -> None:
    servers = {"a": McpServer(("prog",))}
    with pytest.raises(HutchError) as refused:
        ClaudeCode(BINARY).command(AgentTurn("go", ID, resumes=False, servers=servers, protects_itself=True))
    assert refused.value.code == "turn_invalid"


SKILL = {"SKILL.md": "x"}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"session_id": "--resume"}, "agent session id '--resume' cannot be used"),
        ({"session_id": ID.upper().replace("1", "A")}, None),
        ({"model": "--dangerous"}, "model '--dangerous' cannot be used"),
        ({"model": "a b"}, None),
        ({"model": ""}, None),
        ({"skills": {"../up": SKILL}}, "skill name '../up' cannot be used"),
        ({"skills": {"-x": SKILL}}, None),
        ({"skills": {"": SKILL}}, None),
        ({"skills": {"ok": {"other.md": "x"}}}, "skill 'ok' without a SKILL.md cannot be used"),
        ({"skills": {"ok": SKILL | {"../up": "x"}}}, "path '../up' in skill 'ok' cannot be used"),
        ({"skills": {"ok": SKILL | {"/etc/x": "x"}}}, None),
        ({"skills": {"ok": SKILL | {"a//b": "x"}}}, None),
        ({"skills": {"ok": SKILL | {"./b": "x"}}}, None),
        ({"skills": {"ok": SKILL | {"a\0b": "x"}}}, None),
        (
            {"skills": {"ok": {"SKILL.md": "x" * (17 << 20)}}},
            "instructions and skills over 16 MiB cannot be used",
        ),
    ],
)
def test_what_cannot_be_given_is_refused_before_anything_starts(
    what: dict[str, object], message: str | None
) -> None:
    fields: dict[str, object] = {"prompt": "p", "session_id": ID, "resumes": False} | what
    with pytest.raises(HutchError) as refused:
        ClaudeCode(BINARY).command(AgentTurn(**fields))  # type: ignore[arg-type]  # whatever the table holds
    assert refused.value.code == "turn_invalid"
    assert message is None or refused.value.message == message


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://gateway.example/v1", "gateway.example:443"),
        ("http://[::1]:99", "[::1]:99"),
        ("http://Model.internal", "model.internal:80"),
    ],
)
def test_the_host_that_it_needs_comes_from_its_base_url(base_url: str, host: str) -> None:
    assert ClaudeCode(BINARY, base_url).command(AgentTurn("p", ID, resumes=False)).hosts == (host,)


@pytest.mark.parametrize(
    "base_url", ["x", "ftp://a", "http://", "https://u:p@a", "http://a:99999", "http://[1"]
)
def test_a_base_url_that_names_no_host_is_refused(base_url: str) -> None:
    with pytest.raises(HutchError, match="cannot be used") as refused:
        ClaudeCode(BINARY, base_url)
    assert refused.value.code == "agent_invalid"


def test_a_configured_binary_is_found_through_links(tmp_path: Path) -> None:
    binary = tmp_path / "versions" / "2.1"
    binary.parent.mkdir()
    binary.write_bytes(b"\x7fELF...")
    binary.chmod(0o755)
    (tmp_path / "claude").symlink_to(binary)
    assert ClaudeCode.find(tmp_path / "claude") == ClaudeCode(binary.resolve())


@pytest.mark.parametrize("content", [b"#!/usr/bin/env node\n", b""])
def test_a_script_in_its_place_is_not_taken(tmp_path: Path, content: bytes) -> None:
    script = tmp_path / "claude"
    script.write_bytes(content)
    script.chmod(0o755)
    with pytest.raises(HutchError) as refused:
        ClaudeCode.find(script)
    assert refused.value.code == "agent_missing"
    assert refused.value.message == f"Claude Code was not found: '{script}' is not its native binary"
