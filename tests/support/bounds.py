"""How long tests go on that could go on for ever, and what their chance begins with.

`HUTCH_LONG=1` makes them longer. `HUTCH_SEED` names another chance: a test that failed tells which it had.
"""

import os
import random

IS_LONG = bool(os.environ.get("HUTCH_LONG"))
_SEED = os.environ.get("HUTCH_SEED", "9")


def times(often: int, *, long: int) -> int:
    """How often: in CI, and where there is time."""
    return long if IS_LONG else often


def chance(what: str) -> random.Random:
    """The chance of one test: the same in each of its calls."""
    return random.Random(f"{what} {_SEED}")


def limit_s(often: float, *, long: float) -> float:
    """A test's time limit, for `pytest.mark.timeout`."""
    return long if IS_LONG else often
