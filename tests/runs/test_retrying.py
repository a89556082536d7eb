"""Which ends of a turn pass, and how long is waited."""

from dataclasses import replace

import pytest

from hutch.runs.turns.retrying import LONGEST_S, is_passing, is_tried_again, pause_s
from hutch.state import Run
from hutch_mcp_tools.run_records import RunStatus


def run(status: RunStatus, **turn: object) -> Run:
    return Run("r-1", status, "claude: go", "bubblewrap", 0, turn=turn)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529, None])
def test_an_overload_passes(status: int | None) -> None:
    assert is_passing(run("exited", ending="api_error", api_status=status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_wrong_key_or_request_does_not(status: int) -> None:
    assert not is_passing(run("exited", ending="api_error", api_status=status))


@pytest.mark.parametrize("status", ["budget", "cancelled", "timed_out", "failed", "lost"])
def test_what_somebody_ended_is_over(status: RunStatus) -> None:
    assert not is_passing(run(status, ending="api_error", api_status=529))


def test_other_ends_of_a_turn_are_ends() -> None:
    for ending in ("done", "interrupted", "turn_limit", "failed"):
        assert not is_passing(run("exited", ending=ending, api_status=529))


def test_dollars_that_only_the_agent_counts_are_given_once() -> None:
    overloaded = run("exited", ending="api_error", api_status=529)
    metered = replace(overloaded, budgets=({"name": "asked", "per": "run", "spent": "$0.01 of $1.00"},))
    assert is_tried_again(overloaded, {"prompt": "go"})
    assert is_tried_again(metered, {"budget_usd": 1.0})
    assert not is_tried_again(overloaded, {"budget_usd": 1.0})
    assert not is_tried_again(run("failed"), {"prompt": "go"})


def test_pauses_double_with_jitter_and_are_bounded() -> None:
    longest = [pause_s(n, 15, lambda _, most: most) for n in (1, 2, 3, 10, 100)]
    assert longest == [15, 30, 60, LONGEST_S, LONGEST_S]
    assert pause_s(2, 15, lambda least, _: least) == 15
