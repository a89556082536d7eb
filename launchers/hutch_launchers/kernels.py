"""Whether what runs in a sandbox runs under another kernel than the host's: both are asked the same."""

from collections.abc import Mapping
from typing import Any

from hutch_launchers.guest import canary

_SAME_S = 2.0  # two kernels that were booted so close together are taken for one


def look_at_kernel() -> Mapping[str, Any]:
    """What the host's kernel says of itself."""
    return canary.kernel({})


def own_kernel(inside: Mapping[str, Any] | None, host: Mapping[str, Any], unfinished: str) -> tuple[str, str]:
    """What shows that it is another, and what shows that it is not: empty if it is.

    A time namespace moves a clock, and a file may be put over another, as nspawn does with the boot's id: so
    neither is believed alone. A filter may refuse a call, yet no filter and no namespace changes an answer:
    one that differs is another kernel's.
    """
    if inside is None:
        return "", unfinished
    if inside["boot_id"] and inside["boot_id"] == host["boot_id"]:
        return "", f"the host's kernel answers: {inside['version']}, of the same boot"
    if abs(inside["booted_at"] - host["booted_at"]) < _SAME_S:
        return "", f"the host's kernel answers: {inside['version']}, with the same clock"
    answers = [name for name in ("version", "barriers") if inside[name] not in (host[name], -1)]
    if not answers and not inside["boot_id"]:
        return "", f"nothing tells its kernel from the host's: {inside['version']}"
    later_s = inside["booted_at"] - host["booted_at"]
    shown = f"another kernel answers: {inside['version']}, booted {later_s:.0f} s after the host's"
    return f"{shown}, {host['version']}", ""
