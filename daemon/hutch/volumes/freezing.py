"""Holding a sandbox still for the short moment in which what it writes is read."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Freezer(Protocol):
    """Where a method can freeze its sandbox. Never held for longer than a fraction of a second."""

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        """Nothing inside runs for the length of the block. False: it could not be held still."""
        ...
