"""The limits of a wish: what is asked for, else what holds by default, and never above the bound. Pure."""

from dataclasses import asdict, fields

from hutch.config import Limits as Bounds
from hutch.errors import HutchError
from hutch.policy.wish import Wish
from hutch_launchers.sizes import size
from hutch_launchers.spec import Limits

# The daemon's own thread starts the sandbox in its control group: none may be smaller
_LEAST_MEMORY = 16 << 20


LIMITS = tuple(field.name for field in fields(Bounds))


def read_limits(wish: Wish, default: Bounds, most: Bounds) -> Limits:
    """Return the limits of a sandbox, or of a command in one. Raises HutchError `limit_exceeded`."""
    asked = {name: getattr(wish, name) for name in LIMITS}
    for name, value in asked.items():
        bound = getattr(most, name)
        if value is not None and value > bound:
            raise HutchError(
                "limit_exceeded",
                f"{called(name)} of {figure(name, value)} is over the bound of {figure(name, bound)}",
                "the daemon's owner sets it in policy.max_limits and [tiers]",
            )
    if wish.memory_bytes is not None and wish.memory_bytes < _LEAST_MEMORY:
        raise HutchError(
            "limit_exceeded",
            f"{size(wish.memory_bytes)} of memory are under the bound of {size(_LEAST_MEMORY)}",
            "no sandbox can be made with less",
        )
    return Limits(**asdict(default) | {name: value for name, value in asked.items() if value is not None})


def called(name: str) -> str:
    """What a limit is called where it is asked for."""
    return "timeout" if name == "wall_s" else name.removesuffix("_bytes")


def figure(name: str, value: float) -> str:
    """A limit with its unit, for a person."""
    return size(value) if name.endswith("_bytes") else f"{value:g}" + " s" * (name == "wall_s")
