"""What to do, in the words of the tools."""

import pytest

from hutch_mcp_tools.hints import hint_for_tools


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("see: hutch volume ls", "see: list_volumes()"),
        ("see: hutch volume log team/web", 'see: list_volumes(volume="team/web")'),
        ("hutch volume ls web/a", 'read_volume(volume="web/a")'),
        ("see: hutch volume ls web --at 3", 'see: read_volume(volume="web", snapshot="3")'),
        ("wait, or end it with: hutch stop r-abc2", 'wait, or end it with: stop_run(run_id="r-abc2")'),
        ("or end its turn with: hutch stop s-x", 'or end its turn with: stop_session(session_id="s-x")'),
        ("run in it with: hutch run --session s-x", 'run in it with: run_in_sandbox(session_id="s-x", …)'),
        ("see: hutch sessions", "see: list_sessions()"),
        ("ask for it with --net python", 'ask for it with network="python"'),
        ("ask for it with --net allow:a.example:80;", 'ask for it with network="allow:a.example:80";'),
        ("see: hutch doctor", "for the user: see: hutch doctor"),
        ("give the path of a file", "give the path of a file"),
        ("", ""),
    ],
)
def test_a_command_becomes_the_tool_that_does_the_same(hint: str, told: str) -> None:
    assert hint_for_tools("some_code", hint) == told
