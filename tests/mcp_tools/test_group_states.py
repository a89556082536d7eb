"""The word for how an attempt stands."""

import pytest

from hutch_mcp_tools.group_records import AttemptRecord


@pytest.mark.parametrize(
    ("status", "outcome", "state"),
    [
        ("running", "running", "running"),
        ("queued", "exited", "queued"),  # another prompt
        ("idle", "exited", "done"),
        ("failed", "exited; the result is no JSON", "failed"),
        ("failed", "budget; the budget of group g-1 is spent", "budget"),
        ("idle", "cancelled; stopped on request", "cancelled"),
        ("lost", "", "lost"),
    ],
)
def test_an_attempt_is_called_by_how_its_last_turn_ended(status: str, outcome: str, state: str) -> None:
    attempt = AttemptRecord(number=1, session_id="s-1", status=status, outcome=outcome, volume="web")
    assert attempt.state == state
