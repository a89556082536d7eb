"""Why a command ended: which limit it met, its figure and what enforced it, in plain words."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hutch.supervisor import Ended
from hutch_launchers.sizes import size
from hutch_launchers.spec import Guarantee, Limits

_GUARANTEES = {"oom": Guarantee.MEMORY, "pids": Guarantee.PIDS, "disk_full": Guarantee.DISK}


def explained(
    ended: Ended, limits: Limits, enforced: Mapping[str, str], writable: Mapping[str, Path]
) -> Ended:
    """Return how it ended, with a plain reason.

    `enforced` has the mechanism of each guarantee, `writable` the host's folders of its volumes: that their
    disk is full is no limit of the sandbox, and ends its work all the same.
    """
    if ended.exit.limit in _GUARANTEES.values() and ended.outcome in _GUARANTEES:
        by = enforced.get(str(ended.exit.limit), "")
        return replace(ended, reason=_met(ended.outcome, limits) + (f" ({by})" if by else ""))
    if ended.outcome == "exited" and ended.exit.code != 0:
        full = next((name for name, folder in writable.items() if _is_full(folder)), None)
        if full is not None:
            return replace(
                ended,
                outcome="disk_full",
                reason=f"the disk of this machine that holds volume {full} is full",
            )
    return ended


def _met(outcome: str, limits: Limits) -> str:
    if outcome == "oom":
        return f"memory limit of {size(limits.memory_bytes or 0)}"
    if outcome == "pids":
        return f"limit of {limits.pids} processes and threads"
    room = size(limits.disk_bytes or 0)
    return f"a private folder (/tmp, /dev/shm or home) is full: together they have {room}"


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        room = os.statvfs(folder)
        return bool(room.f_blocks) and not room.f_bavail
    return False
