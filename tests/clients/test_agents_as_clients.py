"""Claude Code and Codex as clients of the daemon, driven by the scripted model."""

from pathlib import Path

import pytest

from support.daemon import Daemon, scripted_model
from support.mcp_clients import claude_calls, codex_calls

pytestmark = pytest.mark.slow

COMMAND = "echo from inside; echo and aside >&2; exit 7"


async def test_claude_code_runs_a_command_in_a_sandbox(server: Daemon, home: Path, tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    async with scripted_model(log) as model:
        turn = await claude_calls(
            f"{server.url}/mcp", server.token, model, log, home, "run_in_sandbox", command=COMMAND
        )
    assert turn.done.code == 0, turn.done
    assert "That was all." in turn.done.stdout
    assert turn.shown.startswith("exit_code=7 status=exited ")
    assert "--- stdout (1 line) ---\nfrom inside\n--- stderr (1 line) ---\nand aside\n" in turn.shown


async def test_claude_code_offers_the_first_tools_without_a_search(
    server: Daemon, home: Path, tmp_path: Path
) -> None:
    log = tmp_path / "model.log"
    async with scripted_model(log) as model:
        turn = await claude_calls(f"{server.url}/mcp", server.token, model, log, home, "list_sessions")
    hutch = {tool.removeprefix("mcp__hutch__") for tool in turn.offered if tool.startswith("mcp__hutch__")}
    assert {"run_in_sandbox", "get_run", "start_agent", "list_sessions"} <= hutch
    assert '"sessions":[]' in turn.shown.replace(" ", "")


async def test_codex_runs_a_command_in_a_sandbox(server: Daemon, home: Path, tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    async with scripted_model(log) as model:
        turn = await codex_calls(
            f"{server.url}/mcp", server.token, model, log, home, "run_in_sandbox", command=COMMAND
        )
    assert turn.done.code == 0, turn.done
    assert "That was all." in turn.done.stdout
    assert "exit_code=7 status=exited " in turn.shown
    assert "--- stdout (1 line) ---\nfrom inside\n--- stderr (1 line) ---\nand aside\n" in turn.shown
