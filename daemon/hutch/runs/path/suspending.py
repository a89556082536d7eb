"""Holds sandboxes still and lets them go on: a run's own, or a kept one with all that runs in it."""

import time

from hutch.errors import HutchError
from hutch.runs.path.live import LiveRun
from hutch.runs.rooms import PathRooms
from hutch.supervisor import Standstill
from hutch_launchers.launcher import Suspendable


async def suspend(sandbox: object, standstill: Standstill, method: str) -> None:
    """Hold a sandbox still; its time does not run. Raises HutchError `suspend_unsupported`."""
    if standstill.holds:
        return
    if not isinstance(sandbox, Suspendable) or not await sandbox.freezer.suspend():
        raise HutchError(
            "suspend_unsupported",
            f"{method} cannot hold a sandbox still on this host",
            "it takes a control group of the daemon's own: run it as a systemd service with Delegate=yes",
        )
    standstill.thaw = sandbox.freezer.resume
    standstill.begin()


async def hold(rooms: PathRooms, live: LiveRun) -> Standstill:
    """Hold a run's own sandbox still. Raises HutchError `suspend_unsupported`."""
    await suspend(live.process, live.standstill, live.record.method)
    keep_deadline(rooms, live, live.record.method, live.id)
    return live.standstill


def keep_deadline(rooms: PathRooms, live: LiveRun, method: str, target: str) -> None:
    """Tell the keeper what holds now: what is suspended ends with the daemon, as nobody could resume it."""
    if live.standstill.holds:
        rooms.deadlines.set(live.id, method, target, after_s=0)
    else:
        used_s = time.monotonic() - live.began_at - live.standstill.total_s
        rooms.deadlines.set(live.id, method, target, in_s=max(live.wall_s - used_s, 0))


def refuse_idle(live: LiveRun | None, run_id: str) -> LiveRun:
    """Return a run whose process is there. Raises HutchError `run_ended`."""
    if live is None or live.process is None:
        raise HutchError(
            "run_ended", f"run {run_id} has no process that could be held still", "see: hutch ps"
        )
    return live
