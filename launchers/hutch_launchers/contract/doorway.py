"""The smallest egress: one granted door whose service says one line. It stands for the daemon's own."""

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio

from hutch_launchers.spec import Door, EgressEndpoint

ANSWER = b"granted service\n"
_DOOR = Door("granted.example", "127.0.0.2", 4433)


@asynccontextmanager
async def doorway(folder: Path) -> AsyncGenerator[EgressEndpoint]:
    """Take the doors of every sandbox that brings some, for the length of the block."""
    folder.mkdir(exist_ok=True)
    path = folder / "s"
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(path))
        stack.callback(path.unlink, missing_ok=True)
        server.listen()
        server.settimeout(0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_take, server)
            yield EgressEndpoint(path, (_DOOR,))
            tasks.cancel_scope.cancel()


async def _take(server: socket.socket) -> None:
    async with anyio.create_task_group() as tasks:
        while True:
            await anyio.wait_readable(server)
            with suppress(BlockingIOError):
                tasks.start_soon(_serve, server.accept()[0])


async def _serve(launcher: socket.socket) -> None:
    """Take the one listener of a sandbox, and answer whoever comes to it."""
    with launcher:
        launcher.settimeout(0)
        await anyio.wait_readable(launcher)
        _, descriptors, _, _ = socket.recv_fds(launcher, 4, 1)
        with ExitStack() as stack:
            listeners = [stack.enter_context(socket.socket(fileno=os.dup(fd))) for fd in descriptors]
            for fd in descriptors:
                os.close(fd)
            launcher.send(b"\1")
            for listener in listeners:
                listener.settimeout(0)
                while True:
                    await anyio.wait_readable(listener)
                    with suppress(OSError), listener.accept()[0] as visitor:
                        visitor.sendall(ANSWER)
