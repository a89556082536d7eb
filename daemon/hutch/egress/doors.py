"""The doors of one run, open as long as its block."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from hutch.egress.rules import Connection, Grant
from hutch_launchers.spec import EgressEndpoint

Log = Callable[[Connection], None]


@asynccontextmanager
async def open_doors(
    grants: Sequence[Grant], run_id: str, folder: Path, log: Log
) -> AsyncIterator[EgressEndpoint]:
    """Serve `grants` until the block ends."""
    raise NotImplementedError
    yield
