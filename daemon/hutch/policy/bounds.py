"""The limits of a wish: what is asked for, else what holds by default, and never above the bound. Pure."""

from hutch.config import Config
from hutch.errors import HutchError
from hutch.policy.wish import Wish
from hutch_launchers.spec import Limits

_LEAST_MEMORY = (
    16 << 20
)  # the daemon's own thread starts the sandbox in its control group: none may be smaller


def wall_limit(wish: Wish, config: Config) -> float:
    """Return the wall time of a command in a kept sandbox, in seconds. Raises HutchError `limit_exceeded`."""
    return read_limits(wish, config).wall_s


def read_limits(wish: Wish, config: Config) -> Limits:
    """Return the limits of a sandbox. Raises HutchError `limit_exceeded`."""
    default, most = config.policy.limits, config.policy.max_limits
    asked = {name: getattr(wish, name) for name in ("wall_s", "memory_bytes", "cpus", "pids")}
    for name, value in asked.items():
        bound = getattr(most, name)
        if value is not None and value > bound:
            raise HutchError(
                "limit_exceeded",
                f"{name} of {_figure(name, value)} is over the bound of {_figure(name, bound)}",
                "the daemon's owner sets it in policy.max_limits",
            )
    if wish.memory_bytes is not None and wish.memory_bytes < _LEAST_MEMORY:
        raise HutchError(
            "limit_exceeded",
            f"{wish.memory_bytes} bytes of memory are under the bound of {_LEAST_MEMORY >> 20} MiB",
            "no sandbox can be made with less",
        )
    chosen = {name: getattr(default, name) if value is None else value for name, value in asked.items()}
    return Limits(**chosen, disk_bytes=default.disk_bytes)


def _figure(name: str, value: float) -> str:
    return f"{value / (1 << 20):.0f} MiB" if name == "memory_bytes" else f"{value:g}"
