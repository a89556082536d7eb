"""A model behind TLS, as the real ones are; its host proves itself to the daemon by a certificate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, ByteStream

from support.exchange_world import HOST, serve_tls


@asynccontextmanager
async def behind_tls(url: str, folder: Path) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Put TLS before a server; yield the new URL, and the environment that has the daemon trust it."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def talk(near: ByteStream) -> None:
        async with await anyio.connect_tcp(host, int(port)) as far, anyio.create_task_group() as both:
            both.start_soon(_pump, near, far)
            await _pump(far, near)
            both.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        port_tls, certificate = await tasks.start(serve_tls, talk)
        authority = folder / "authority.pem"
        authority.write_bytes(certificate)
        yield f"https://{HOST}:{port_tls}", {"SSL_CERT_FILE": str(authority)}
        tasks.cancel_scope.cancel()


async def _pump(source: ByteReceiveStream, sink: ByteSendStream) -> None:
    try:
        while True:
            await sink.send(await source.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
