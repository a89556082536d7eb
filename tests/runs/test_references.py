"""What an agent's MCP servers are given: references to secrets, and no credentials."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hutch.agents import McpServer
from hutch.errors import HutchError
from hutch.runs.turns.references import References, refuse_credentials, secrets_of
from hutch_mcp_tools.agent_records import McpServerSpec

GIVEN: Mapping[str, bytes] = {"skills/a/SKILL.md": b"Write secret:tracker there."}


@pytest.mark.parametrize(
    "said",
    [
        {"url": "https://m.example.org", "headers": {"Authorization": "Bearer abcdefgh"}},
        {"url": "https://m.example.org", "headers": {"X-Api-Key": "abcdefgh"}},
        {"url": "https://m.example.org", "headers": {"X-Whatever": "ghp_0123456789abcdefABCDEF"}},
        {"url": "https://user:word@m.example.org"},
        {"url": "https://m.example.org/?api_key=abcdefgh"},
        {"command": "serve", "env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "abcdefgh"}},
        {"command": "serve", "env": {"PGPASSWORD": "abcdefgh"}},
        {"command": "serve", "env": {"DATABASE": "postgres://me:abcdefgh@db.example.org/x"}},
        {"command": "serve", "args": ["--token", "abcdefgh"]},
        {"command": "serve", "args": ["--api-key=abcdefgh"]},
        {"command": "serve", "args": ["sk-ant-api03-0123456789abcdef"]},
    ],
)
def test_a_credential_is_refused_and_not_repeated(said: dict[str, object]) -> None:
    with pytest.raises(HutchError, match="looks like a credential") as refused:
        refuse_credentials({"m": McpServerSpec.model_validate(said)})
    told = refused.value.message + refused.value.hint
    assert (refused.value.code, "abcd" in told, "0123" in told) == ("turn_invalid", False, False)


@pytest.mark.parametrize(
    "said",
    [
        {"url": "https://m.example.org/mcp?key=1", "headers": {"Authorization": "Bearer secret:tracker"}},
        {"url": "https://m.example.org", "headers": {"Authorization": "Bearer ${TRACKER_TOKEN}"}},
        {"command": "serve", "env": {"TRACKER_TOKEN": "secret:tracker", "TOKEN_LIMIT": "100000000"}},
        {"command": "serve", "env": {"GOOGLE_APPLICATION_CREDENTIALS": "/workspace/account.json"}},
        {"command": "serve", "args": ["--tokens", "100000000", "--token-file", "/workspace/a-long-name"]},
    ],
)
def test_what_only_names_one_is_taken(said: dict[str, object]) -> None:
    refuse_credentials({"m": McpServerSpec.model_validate(said)})


def test_a_reference_becomes_a_placeholder_where_it_was_and_nowhere_else(tmp_path: Path) -> None:
    references = References()
    server = references.marked(
        McpServer(("serve",), {"A": "secret:tracker"}, "", {"B": "Bearer secret:tracker; secret:other"})
    )
    files = {**GIVEN, "mcp.json": f"{server.env['A']}, {server.headers['B']}".encode()}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    env = {"CONTENT": f"<{server.env['A']}>", "PROMPT": "secret:tracker"}
    fill = references.filling(tmp_path, files, env)
    assert fill({"tracker": "ph-1", "other": "ph-2"}) == {"CONTENT": "<ph-1>"}
    assert (tmp_path / "mcp.json").read_text() == "ph-1, Bearer ph-1; ph-2"
    assert (tmp_path / "skills/a/SKILL.md").read_bytes() == GIVEN["skills/a/SKILL.md"]
    with pytest.raises(HutchError, match="'other'") as refused:
        fill({"tracker": "ph-1"})
    assert refused.value.code == "secret_missing"


def test_what_is_referred_to_is_asked_for_once() -> None:
    servers = {
        "a": McpServerSpec(command="a", env={"X": "secret:one", "Y": "not_secret:two"}),
        "b": McpServerSpec(url="https://b.example.org", headers={"Z": "secret:three", "W": "secret:one"}),
    }
    assert secrets_of(servers) == ("one", "three")
