"""The protocol's own checkers against the daemon as it is shipped, its token on."""

from pathlib import Path

import pytest

from support.auth_proxy import with_token
from support.daemon import Daemon
from support.mcp_clients import conformance, conformance_suite, inspect, inspector, node

pytestmark = pytest.mark.slow

# What is honest for a server without the suite's own fixture tools; all else would pass for the wrong reason.
HONEST = (
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
    "caching",
    "http-header-validation",
    "sep-2164-resource-not-found",
    "input-required-result-unsupported-methods",
)


@pytest.fixture(autouse=True)
def checkers() -> None:
    """Skip here: within a test's task group a skip is an error, and takes the tests behind it along."""
    for find in (node, inspector, conformance_suite):
        find()


@pytest.mark.parametrize("scenario", HONEST)
async def test_the_daemon_conforms(server: Daemon, home: Path, scenario: str) -> None:
    async with with_token(f"{server.url}/mcp", server.token) as url:
        checks = await conformance(url, home, "--scenario", scenario)
    states = {check["status"] for check in checks}
    assert "SUCCESS" in states
    assert "FAILURE" not in states, [check for check in checks if check["status"] == "FAILURE"]


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_finds_nothing_wrong_with_the_tools(server: Daemon, home: Path, era: str) -> None:
    options = ["--protocol-era", era, "--strict", "--method", "tools/list"]
    listed = await inspect(f"{server.url}/mcp", server.token, home, *options)
    assert "run_in_sandbox" in {tool["name"] for tool in listed["tools"]}


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_runs_a_command(server: Daemon, home: Path, era: str) -> None:
    call = ["--method", "tools/call", "--tool-name", "run_in_sandbox", "--tool-arg", "command=echo hello"]
    answer = await inspect(f"{server.url}/mcp", server.token, home, "--protocol-era", era, *call)
    text = answer["content"][0]["text"]
    assert text.startswith("exit_code=0 status=exited ")
    assert "\n--- stdout (1 line) ---\nhello\n" in text
