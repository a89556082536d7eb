"""Looks for the planted secret inside sandboxes while they work, and in all that is left of their runs."""

import math
import os
from collections.abc import Coroutine
from contextlib import redirect_stdout
from io import StringIO
from typing import TypeVar

import anyio
from anyio import to_thread

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.client import Client
from hutch_mcp_tools.events import RunEvent
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.run_text import whole_answer
from hutch_mcp_tools.volume_records import ExportRequest
from support.daemon import Daemon, output
from support.planted import found_below, found_inside, sandboxed
from support.secret_host import PLANTED

T = TypeVar("T")
_WORD = PLANTED.encode()


async def content_of(client: Client, volume: str) -> bytes:
    """Every byte that the newest snapshot of a volume holds."""
    sender, pieces = anyio.create_memory_object_stream[RunEvent](math.inf)
    with sender, pieces:
        await client.export_volume(ExportRequest(volume=volume), sender)
        sender.close()
        return b"".join([piece.data async for piece in pieces])


async def looked_into(work: Coroutine[object, object, T], *, holds_it: bool = False) -> T:
    """Do the work, and look meanwhile for what was planted into every sandbox of this host."""
    found: list[str] = []
    answer: list[T] = []

    async def do() -> None:
        answer.append(await work)
        looking.cancel_scope.cancel()

    async with anyio.create_task_group() as looking:
        looking.start_soon(do)
        while True:
            found += await to_thread.run_sync(found_inside, sandboxed(_WORD), _WORD)
            await anyio.sleep(0.5)
    if os.geteuid() == 0:  # nobody else sees into another's processes
        assert bool(found) == holds_it, found
    return answer[0]


async def told_everywhere(house: Daemon, client: Client, record: RunRecord) -> str:
    """All that anybody is told of a run: output, record, the answer over MCP, `hutch show`, connections."""
    environment = Invocation(env={"HUTCH_CONFIG": str(house.folder / "config.toml"), **house.env})
    shown = StringIO()

    def show() -> None:
        with redirect_stdout(shown):
            for words in (["show"], ["show", "--json"], ["net", "log"]):
                assert main([*words, record.run_id], environment) == 0

    await to_thread.run_sync(show)
    stdout, stderr = await output(client, record)
    answer = await whole_answer(client, record, 1 << 20)
    return "\n".join((stdout, stderr, record.model_dump_json(), answer, shown.getvalue(), house.log()))


def is_at_rest(house: Daemon) -> list[str]:
    """The files of a daemon, its database and what is written ahead of it included, that hold the secret."""
    return found_below(house.folder, word=_WORD)
