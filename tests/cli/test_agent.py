"""`hutch agent`: what is asked of the service, from what a person gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from hutch.cli.turn_told import tell_ended
from hutch_mcp_tools.agent_records import AgentRequest, McpServerSpec, TurnBounds
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from support.mcp_service import NOW, FakeService

Hutch = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_everything_given_is_asked_for(
    hutch: Hutch, service: FakeService, tmp_path: Path, capfd: Captured
) -> None:
    (tmp_path / "how.md").write_text("Briefly.")
    skill = tmp_path / "skills" / "tidy"
    (skill / "more").mkdir(parents=True)
    (skill / "SKILL.md").write_text("Tidy up.")
    (skill / "more" / "list.txt").write_text("a\n")
    (tmp_path / "skills" / "no skill").mkdir()
    options = ("-v", "web", "--instructions", str(tmp_path / "how.md"), "--skills", str(tmp_path / "skills"))
    limits = ("--max-minutes", "5", "--budget-usd", "0.5", "--new", "--model", "m")
    assert hutch("agent", *options, *limits, "--detach", "--", "echo", "- [ ] work") == 0
    assert service.requests == [
        AgentRequest(
            agent="echo",
            prompt="- [ ] work",
            volume="web",
            model="m",
            instructions="Briefly.",
            skills={"tidy": {"SKILL.md": "Tidy up.", "more/list.txt": "a\n"}},
            resume=False,
            max_minutes=5,
            budget_usd=0.5,
        )
    ]
    assert capfd.readouterr() == ("s-0001\n", "it is at work; follow it: hutch logs -f s-0001\n")


def test_servers_a_schema_and_a_bound_of_turns_are_asked_for(
    hutch: Hutch, service: FakeService, tmp_path: Path, capfd: Captured
) -> None:
    servers, schema = tmp_path / "mcp.json", tmp_path / "schema.json"
    servers.write_text('{"mcpServers": {"a": {"type": "stdio", "command": "prog", "args": ["-x"]}}}')
    schema.write_text('{"type": "object"}')
    options = ("--mcp-config", str(servers), "--output-schema", str(schema), "--max-turns", "3")
    assert hutch("agent", "echo", "go", *options, "--detach") == 0
    [request] = [each for each in service.requests if isinstance(each, AgentRequest)]
    assert request.mcp_servers == {"a": McpServerSpec(command="prog", args=["-x"])}
    assert (request.output_schema, request.max_turns) == ({"type": "object"}, 3)
    capfd.readouterr()

    servers.write_text('{"mcpServers": {"a": {"command": "prog", "url": "http://a"}}}')
    assert hutch("agent", "echo", "go", *options, "--detach") == 2
    assert "a server has a command or a url" in capfd.readouterr().err
    schema.write_text("[]")
    assert hutch("agent", "echo", "go", *options, "--detach") == 2
    assert "holds no JSON object" in capfd.readouterr().err


def test_a_single_skill_may_be_given_by_its_own_folder(
    hutch: Hutch, service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "tidy").mkdir()
    (tmp_path / "tidy" / "SKILL.md").write_text("Tidy up.")
    assert hutch("agent", "echo", "go", "--skills", str(tmp_path / "tidy"), "--detach") == 0
    assert [r.skills for r in service.requests if isinstance(r, AgentRequest)] == [
        {"tidy": {"SKILL.md": "Tidy up."}}
    ]


def test_a_folder_without_skills_is_a_usage_error(hutch: Hutch, tmp_path: Path, capfd: Captured) -> None:
    assert hutch("agent", "echo", "go", "--skills", str(tmp_path)) == 2
    assert capfd.readouterr().err.startswith(f"error: {tmp_path} holds no skill")


def test_a_session_goes_on_with_what_it_began_with(
    hutch: Hutch, service: FakeService, capfd: Captured
) -> None:
    assert hutch("agent", "echo", "first", "--detach", "--json") == 0
    session = SessionRecord.model_validate_json(capfd.readouterr().out)
    assert hutch("agent", "echo", "second", "--session", session.session_id, "--detach") == 0
    assert service.sessions[session.session_id].last_message == "second"
    capfd.readouterr()
    assert hutch("agent", "echo", "third", "--session", session.session_id, "--model", "m") == 2
    assert "--model goes with --volume" in capfd.readouterr().err
    assert hutch("agent", "claude", "third", "--session", session.session_id) == 1
    assert capfd.readouterr().err.startswith(
        f"error: session_invalid: session {session.session_id} is one of 'echo', not of 'claude'"
    )


@pytest.mark.parametrize(
    ("status", "words"), [("budget", " --budget-usd 0.5 --budget-tokens 9000"), ("exited", "")]
)
def test_a_turn_that_spent_its_budget_says_how_to_go_on_with_another(
    status: Literal["budget", "exited"], words: str, capfd: Captured
) -> None:
    run = RunRecord(run_id="r-1", status=status, command="x", method="m", created_at=NOW)
    session = SessionRecord(
        session_id="s-1",
        kind="agent",
        status="idle",
        agent="claude",
        method="m",
        created_at=NOW,
        updated_at=NOW,
    )
    tell_ended(session, run, TurnBounds(budget_usd=0.5, budget_tokens=9000, max_minutes=3))
    assert capfd.readouterr().err.endswith(f"· go on: hutch agent claude --session s-1{words} '…'\n")


def test_an_agent_that_is_not_configured_is_named_with_those_that_are(hutch: Hutch, capfd: Captured) -> None:
    assert hutch("agent", "clod", "go") == 1
    told = "error: agent_unknown: no agent is called 'clod'\nhint: known: claude, codex"
    assert capfd.readouterr().err.startswith(told)
