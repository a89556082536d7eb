"""What an agent says of its tokens, as records have it."""

from hutch.agents import Usage
from hutch.runs.turns.turn import _tokens
from hutch.state import Tokens


def test_an_absurd_sum_is_one_that_a_database_can_add_up() -> None:
    assert _tokens(Usage(1 << 90, 1, 1 << 63, 0)) == Tokens(1 << 48, 1, 1 << 48, 0)
