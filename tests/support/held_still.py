"""A sandbox that stands still, on a host that may be busy."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from hutch_launchers.freezer import _LONGEST_S
from hutch_launchers.launcher import KeptSandbox, SandboxProcess
from support.streams import LONG_S

STILL_S = _LONGEST_S  # after which anything goes on, whoever holds it


@asynccontextmanager
async def held_still(sandbox: SandboxProcess | KeptSandbox) -> AsyncGenerator[float]:
    """A block in which it stands still, until `STILL_S` after what is yielded: a time of the monotonic clock.

    What is too slow to stand still is let go, and asked again.
    """
    ends_at = time.monotonic() + LONG_S
    while time.monotonic() < ends_at:
        since = time.monotonic()
        async with sandbox.frozen() as is_still:
            if is_still:
                yield since
                return
    raise TimeoutError


async def is_silent(process: SandboxProcess, for_s: float) -> bool:
    """Whether one that is held still says nothing for a while, once what was on its way has come."""
    async with held_still(process) as since:
        while time.monotonic() + for_s < since + STILL_S:
            with anyio.move_on_after(for_s) as waiting:
                await process.stdout.receive()
            if waiting.cancelled_caught:
                return True
    return False
