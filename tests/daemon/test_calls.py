"""What a caller is told when its connection to the daemon breaks off."""

import anyio
import anyio.abc
import httpx2
import pytest

from hutch.client import Client
from hutch_mcp_tools.service import ServiceError

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("answer", [b"", _HEAD + b"3\r\n{}", _HEAD + b"0\r\n\r\n"])
async def test_an_answer_that_breaks_off_is_told_in_a_persons_words(answer: bytes) -> None:
    async def break_off(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, break_off)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            with pytest.raises(ServiceError) as refused:
                await Client(http).list_reviews()
        tasks.cancel_scope.cancel()
    assert refused.value.code == "daemon_gone"
    assert refused.value.message == "the connection to the daemon broke off before its answer was whole"
    assert "hutch ps" in refused.value.hint
