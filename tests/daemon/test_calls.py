"""What a caller is told of the daemon's answers, also when its connection breaks off."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import httpx2
import pytest

from hutch.client import Client
from hutch_mcp_tools.service import ServiceError

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("answer", [b"", _HEAD + b"3\r\n{}", _HEAD + b"0\r\n\r\n"])
async def test_an_answer_that_breaks_off_is_told_in_a_persons_words(answer: bytes) -> None:
    async with _answering(answer) as client:
        with pytest.raises(ServiceError) as refused:
            await client.list_reviews()
    assert refused.value.code == "daemon_gone"
    assert refused.value.message == "the connection to the daemon broke off before its answer was whole"
    assert "hutch ps" in refused.value.hint


async def test_no_character_of_an_answer_ends_its_line() -> None:
    told = "".join(map(chr, range(0x20, 0x100))) + "\u2028\u2029\ufeff"
    line = json.dumps({"result": told}, ensure_ascii=False).encode() + b"\n"
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in line)
    async with _answering(_HEAD + pieces + b"0\r\n\r\n") as client:
        assert await client._call("any", str) == told


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncGenerator[Client]:
    """Yield a client of a server that says this, and ends the connection."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            yield Client(http)
        tasks.cancel_scope.cancel()
