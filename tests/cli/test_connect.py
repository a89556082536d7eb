"""What clients are told to add: the URL that is real, and the token by reference alone."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation

TOKEN = "a-planted-token"
URL = "http://127.0.0.1:8750/mcp"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    state = tmp_path / ".local/state/hutch"
    state.mkdir(parents=True)
    (state / "token").write_text(TOKEN + "\n")
    return Invocation(env={"HOME": str(tmp_path)})


def told(invocation: Invocation, capfd: Captured, *arguments: str) -> str:
    assert main(["connect", *arguments], invocation) == 0
    out, err = capfd.readouterr()
    assert TOKEN not in out + err
    return out


def test_the_token_is_printed_by_its_own_command_alone(invocation: Invocation, capfd: Captured) -> None:
    assert main(["token"], invocation) == 0
    assert capfd.readouterr().out == f"{TOKEN}\n"
    assert main(["token", "--headers"], invocation) == 0
    assert json.loads(capfd.readouterr().out) == {"Authorization": f"Bearer {TOKEN}"}


def test_without_a_daemon_s_token_it_is_said_what_to_do(tmp_path: Path, capfd: Captured) -> None:
    assert main(["token"], Invocation(env={"HOME": str(tmp_path)})) == 1
    assert capfd.readouterr().err.startswith("error: token_missing: ")


def test_claude_code_is_added_by_a_command_that_a_shell_leaves_as_it_is(
    invocation: Invocation, capfd: Captured
) -> None:
    words = shlex.split(told(invocation, capfd, "claude"))
    assert words[:8] == ["claude", "mcp", "add", "--transport", "http", "--scope", "user", "hutch"]
    assert words[8:] == [URL, "--header", "Authorization: Bearer ${HUTCH_TOKEN}"]
    words = shlex.split(told(invocation, capfd, "claude", "--stdio"))
    assert words[:7] == ["claude", "mcp", "add", "--scope", "user", "hutch", "--"]
    assert words[-1] == "mcp"


def test_codex_is_given_toml(invocation: Invocation, capfd: Captured) -> None:
    server = tomllib.loads(told(invocation, capfd, "codex"))["mcp_servers"]["hutch"]
    assert server == {"url": URL, "bearer_token_env_var": "HUTCH_TOKEN", "tool_timeout_sec": 3600}
    server = tomllib.loads(told(invocation, capfd, "codex", "--stdio"))["mcp_servers"]["hutch"]
    assert server["args"] == ["mcp"]


@pytest.mark.parametrize(
    ("client", "table", "reference"),
    [
        ("opencode", "mcp", "{env:HUTCH_TOKEN}"),
        ("gemini", "mcpServers", "$HUTCH_TOKEN"),
        ("vscode", "servers", "${input:hutch-token}"),
        ("cursor", "mcpServers", "${env:HUTCH_TOKEN}"),
    ],
)
def test_the_others_are_given_json(
    client: str, table: str, reference: str, invocation: Invocation, capfd: Captured
) -> None:
    server = json.loads(told(invocation, capfd, client))[table]["hutch"]
    assert server["url"] == URL
    assert server["headers"] == {"Authorization": f"Bearer {reference}"}
    server = json.loads(told(invocation, capfd, client, "--stdio"))[table]["hutch"]
    command = server["command"] if client == "opencode" else [server["command"], *server["args"]]
    assert command[-1] == "mcp"


def test_zed_is_connected_over_stdio_only(invocation: Invocation, capfd: Captured) -> None:
    assert main(["connect", "zed"], invocation) == 1
    assert capfd.readouterr().err.startswith("error: client_unsupported: ")
    server = json.loads(told(invocation, capfd, "zed", "--stdio"))["context_servers"]["hutch"]
    assert server["args"] == ["mcp"]


def test_a_client_that_starts_hutch_reads_the_same_configuration(
    invocation: Invocation, tmp_path: Path, capfd: Captured
) -> None:
    file = tmp_path / "my config.toml"
    file.write_text("")
    assert main(["--config", str(file), "connect", "codex", "--stdio"], invocation) == 0
    server = tomllib.loads(capfd.readouterr().out)["mcp_servers"]["hutch"]
    assert server["args"] == ["--config", str(file), "mcp"]
