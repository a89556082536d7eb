"""Two processes that ask each other: what one says in another way ends nothing of the other's."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from hutch.errors import HutchError
from hutch.jobs.peer import GONE, Peer
from support.streams import LONG_S


async def double(number: int) -> int:
    return number * 2


@asynccontextmanager
async def two() -> AsyncGenerator[tuple[Peer, SocketStream]]:
    """One that asks, and the other side's connection."""
    here, there = socket.socketpair()
    ours, theirs = await SocketStream.from_socket(here), await SocketStream.from_socket(there)
    asking = Peer(ours, {})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking.serve)
        tasks.start_soon(Peer(theirs, {"double": double}).serve)
        yield asking, theirs
        tasks.cancel_scope.cancel()


async def test_what_is_asked_in_other_words_is_an_error_of_the_one_question() -> None:
    async with two() as (asking, _):
        questions: list[dict[str, object]] = [{"count": 2}, {"number": {}}]
        for words in questions:
            with pytest.raises(HutchError) as refused:
                await asking.ask("double", **words)
            assert refused.value.code == "runner_unable"
        assert await asking.ask("double", number=2) == 4


async def test_a_line_over_the_bound_ends_the_connection_alone() -> None:
    async with two() as (asking, theirs):
        with anyio.fail_after(LONG_S):
            with pytest.raises(HutchError) as refused:
                await asking.ask("double", number="x" * (2 << 20))
            assert refused.value.code == GONE
            with pytest.raises(anyio.ClosedResourceError):
                await theirs.send(b"x")
