"""The policy of a run for a person: what it could do, who narrowed it, what enforced each limit."""

from collections.abc import Mapping
from typing import Any

from hutch.telling.amounts import duration
from hutch_launchers.sizes import size

_LIMITS = {  # of the record, what a person calls it, and the guarantee that holds it
    "memory_bytes": ("memory", "memory"),
    "cpus": ("cpus", "cpu"),
    "pids": ("processes", "pids"),
    "disk_bytes": ("private disk", "disk"),
    "open_files": ("open files", ""),
    "output_bytes": ("output", ""),
    "wall_s": ("time", ""),
}
_OTHERWISE = {
    "open_files": "RLIMIT_NOFILE",
    "output_bytes": "the daemon",
    "wall_s": "the daemon, and its keeper",
}
_SHOWN = 6  # of what is hidden; --json has all


def policy_fields(policy: Mapping[str, Any]) -> dict[str, object]:
    """Return its facts by name; none for a run that never got so far."""
    granted = policy.get("granted")
    if not granted:
        return {}
    requested = policy.get("requested", {})
    hidden = granted.get("hidden", [])
    more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
    asked = [f"{name} {_words(value)}" for name, value in requested.items() if value and value != "none"]
    evidence = policy.get("evidence", {})
    return {
        "asked for": ", ".join(asked),
        "narrowed by": tuple(policy.get("narrowed", [])),
        "may write": tuple(granted.get("writes", [])) or "nothing that lasts",
        "image": granted.get("image") or "",
        "may read": tuple(granted.get("reads", [])) or "nothing of this host but its programs",
        "not shown": ", ".join(hidden[:_SHOWN]) + more,
        "may reach": tuple(granted.get("network", [])) or "no network",
        "changed since": tuple(policy.get("network_changes", [])),
        "secrets": tuple(granted.get("secrets", [])),
        "limits": _limits(granted.get("limits", {}), policy.get("enforced", {})),
        "needed": ", ".join(granted.get("needs", [])),
        "enforced": tuple(
            f"{name}: {by}" + (f" ({evidence[name]})" if evidence.get(name) else "")
            for name, by in policy.get("enforced", {}).items()
        ),
    }


def _limits(limits: Mapping[str, float], enforced: Mapping[str, str]) -> tuple[str, ...]:
    lines = []
    for name, (word, guarantee) in _LIMITS.items():
        if limits.get(name) is not None:
            by = enforced.get(guarantee) or _OTHERWISE.get(name, "not enforced here")
            lines.append(f"{word} {_amount(name, limits[name])} ({by})")
    return tuple(lines)


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return size(int(value))
    return duration(value) if name == "wall_s" else f"{value:g}"


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
