"""Whether a turn of an agent is tried again, and when. Pure.

It is for what passes: the model's service was overloaded or away, and the agent's own retries were over.
"""

from collections.abc import Callable, Mapping

from hutch.budgets import ASKED
from hutch.state import Run

LONGEST_S = 600.0  # between two runs
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})  # of HTTP; 529: Anthropic's own "overloaded"


def is_passing(run: Run) -> bool:
    """Whether a run of an agent ended for what may be over in a while."""
    ended_so = run.status == "exited" and run.turn.get("ending") == "api_error"
    return ended_so and run.turn.get("api_status") in (None, *_PASSING)


def is_tried_again(run: Run, request: Mapping[str, object]) -> bool:
    """Whether another run may follow it: not where its dollars were the agent's own to watch.

    That counts from nothing in each process, so every further run would have all of them again.
    """
    is_held = any(budget["name"] == ASKED for budget in run.budgets)
    return is_passing(run) and (not request.get("budget_usd") or is_held)


def pause_s(runs: int, first_s: float, uniform: Callable[[float, float], float]) -> float:
    """Return how long to wait after so many runs: twice as long each time, and never all at once."""
    return min(first_s * 2.0 ** (runs - 1), LONGEST_S) * uniform(0.5, 1)
