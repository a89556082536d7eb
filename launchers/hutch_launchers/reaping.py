"""Ends what a dead daemon left of a run, found by its processes' mark and by its control group."""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio

from hutch_launchers import proc
from hutch_launchers.cgroup import reap_group, thaw_group
from hutch_launchers.commands import check_run_id
from hutch_launchers.local_process import PidWatch, wait_for_death

MARK = "HUTCH_SANDBOX"  # in the environment of what the host starts for a run; its value is the run's id

_ROUNDS = 20  # a process that forks while it is hunted is caught in the next round


async def reap(run_id: str) -> bool:
    """As `Launcher.reap`."""
    check_run_id(run_id)
    thaw_group(run_id)
    found = await kill_marked(run_id)
    return await reap_group(run_id) or found


async def kill_marked(run_id: str) -> bool:
    """Kill every process with the run's mark and return when all have ended; whether there was one."""
    found = False
    for _ in range(_ROUNDS):
        watched = watch_pids(lambda: proc.pids_with_environment(f"{MARK}={run_id}"))
        if not watched:
            break
        found = True
        try:
            for watch in watched:
                watch.send(signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await wait_for_death(*watched)
        finally:
            for watch in watched:
                watch.close()
    return found


def watch_pids(find: Callable[[], Iterable[int]]) -> list[PidWatch]:
    """Hold the processes that are found; a number that came to mean another in between is not found again."""
    watched: dict[int, PidWatch] = {}
    for pid in find():
        with suppress(OSError):
            watched[pid] = PidWatch(os.pidfd_open(pid))
    still = set(find()) if watched else set()
    for pid in watched.keys() - still:
        watched.pop(pid).close()
    return list(watched.values())
