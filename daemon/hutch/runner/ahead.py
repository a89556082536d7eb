"""What a runner has done while it waits for something else. Whoever needs it finds it done, or does it then.

So nothing depends on it, and an error is not told here: it is met again where it matters.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from anyio import to_thread
from anyio.abc import TaskGroup

from hutch.errors import HutchError
from hutch.runs.rooms import PathRooms
from hutch_launchers.launcher import Launcher, LauncherError, LooksAhead

logger = logging.getLogger(__name__)


def greet_store(rooms: PathRooms, beside: TaskGroup) -> None:
    """Ask the store whether it is the one that it was, while it is found out what is to be run."""
    beside.start_soon(_do, rooms.store.prove)


def prepare_sandbox(rooms: PathRooms, method: str, beside: TaskGroup) -> None:
    """Look at what a start of the method needs of the host, while the store tells of the volume."""
    beside.start_soon(_do, partial(_prepare, rooms.launchers[method]))


async def _prepare(launcher: Launcher) -> None:
    await launcher.probe()
    if isinstance(launcher, LooksAhead):
        await to_thread.run_sync(launcher.look_ahead)


async def _do(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except (HutchError, LauncherError, OSError) as error:
        logger.debug("not done ahead: %s", error)
