"""Runs that write all the time, and whether they do."""

import anyio

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord
from support.streams import LONG_S

_STILL_S = 0.4  # many times what such a run takes for its next word


async def has_said(client: Client, run_id: str, more_than: int = 0) -> RunRecord:
    """Return when it has written that much."""
    with anyio.fail_after(LONG_S):
        while (record := await client.get_run(run_id)).stdout_bytes <= more_than:
            assert not record.is_ended, record
            await anyio.sleep(0.02)
    return record


async def grows(client: Client, run_id: str) -> None:
    """Return when it has written more."""
    await has_said(client, run_id, (await client.get_run(run_id)).stdout_bytes)


async def stands_still(client: Client, run_id: str) -> None:
    """Return when nothing has come for a while: what it wrote before may be on its way."""
    with anyio.fail_after(LONG_S):
        while True:
            before = (await client.get_run(run_id)).stdout_bytes
            await anyio.sleep(_STILL_S)
            if (await client.get_run(run_id)).stdout_bytes == before:
                return
