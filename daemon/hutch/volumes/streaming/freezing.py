"""Holding a sandbox still for the short moment in which what it writes is read."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Freezer(Protocol):
    """Where a method can freeze its sandbox. Never held for longer than a fraction of a second."""

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        """Nothing inside runs for the length of the block. False: it could not be held still."""
        ...


@asynccontextmanager
async def held_still(freezer: Freezer | None) -> AsyncGenerator[bool]:
    """Whether the sandbox, if any can be frozen here, stands still for the length of the block."""
    if freezer is None:
        yield False
    else:
        async with freezer.frozen() as is_frozen:
            yield is_frozen
