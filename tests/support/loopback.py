"""A server on loopback that says one thing to whoever connects."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream


@asynccontextmanager
async def listening(says: bytes = b"hello\n", *, ends: bool = True) -> AsyncGenerator[int]:
    """Its port. It keeps its connections open unless it `ends` them."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            await stream.send(says)
            if not ends:
                await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield listener.extra_attributes[SocketAttribute.local_port]()
        tasks.cancel_scope.cancel()
