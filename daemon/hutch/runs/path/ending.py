"""How the record of a run becomes final, and what is told of it."""

import errno
import logging
from typing import Any, Protocol

import anyio

from hutch.errors import HutchError
from hutch.runs.path.live import LiveRun
from hutch.state import Journal
from hutch_launchers.launcher import LauncherError

logger = logging.getLogger(__name__)

_AGAIN_S = 2.0  # between two tries to store a record whose disk is full


class Settles(Protocol):
    """What else is written down when a run has ended."""

    async def settle(self) -> None:
        """The run's record is final and stored; write down what follows from it before anybody is told."""


async def end(state: Journal, live: LiveRun, work: Settles, **values: Any) -> None:
    """Make the record final and tell everybody, also where it cannot be stored now: see `until_stored`."""
    with anyio.CancelScope(shield=True):  # the process is gone: its record must say so
        record = live.end(**values)
        await store(state, live)
        try:
            await work.settle()
        except HutchError:
            logger.exception("run=%s ended, and what follows from it could not be stored", live.id)
        live.announce_end()
    logger.info("run=%s ends status=%s exit_code=%s", live.id, record.status, record.exit_code)


async def store(state: Journal, live: LiveRun) -> None:
    """Store the record of a run that has ended, or note that it is owed."""
    try:
        await state.put_run(live.record)
    except HutchError:
        if not live.is_owed:
            logger.exception("run=%s ended, and its record could not be stored", live.id)
        live.is_owed = True
    else:
        if live.is_owed:
            logger.warning("run=%s ended, and its record is stored now", live.id)
        live.is_owed = False


async def until_stored(state: Journal, live: LiveRun) -> None:
    """Return when the record of a run that has ended is stored: a full disk may have refused it."""
    while live.is_owed:
        await anyio.sleep(_AGAIN_S)
        await store(state, live)


async def fail(state: Journal, live: LiveRun, work: Settles, error: Exception) -> None:
    """End a run whose sandbox could not be given, or whose volumes could not be committed."""
    live.error = error = plain(error)
    logger.warning("run=%s failed: %s: %s", live.id, error.code, error.message)
    if live.stop.is_asked and live.record.duration_s is None:
        await end(state, live, work, status="cancelled", reason=live.stop.reason)
        return
    hint = f"; {error.hint}" if error.hint else ""
    status = "disk_full" if error.code in ("quota_exceeded", "history_full") else "failed"
    await end(state, live, work, status=status, reason=f"{error.code}: {error.message}{hint}")


def plain(error: Exception) -> HutchError:
    """Return what a person is meant to read of an error from any room, or from the host itself.

    A mistake of ours is logged and ends the one run that met it: left to rise, it would end the daemon.
    """
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free space on its disk" if is_full else "see: hutch doctor"
        told = error.strerror or "an input or output error"
        return HutchError("host_failed", f"the host refused: {told}", hint)
    if isinstance(error, HutchError | LauncherError):
        return HutchError(error.code, error.message, error.hint)
    logger.error("an error that nobody expected", exc_info=error)
    return HutchError("internal", "an internal error", "the daemon's log has the details")
