"""A connection as a stream of bytes, in the clear or under TLS, whose bytes on the wire are counted."""

import socket
import ssl
from collections.abc import Awaitable, Callable

import anyio
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from hutch.egress.sockets import receive, send

HANDSHAKE_S = 10.0  # TLS libraries do it at once

Count = Callable[[int], Awaitable[None]]


class SocketBytes(ByteStream):
    """A socket that somebody else closes; `first` was read from it already."""

    def __init__(
        self,
        sock: socket.socket,
        first: bytes = b"",
        sent: Count | None = None,
        received: Count | None = None,
    ) -> None:
        self._sock = sock
        self._first = first
        self._sent = sent
        self._received = received

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._first:
            data, self._first = self._first[:max_bytes], self._first[max_bytes:]
            return data
        try:
            data = await receive(self._sock)
        except OSError as error:
            raise BrokenResourceError from error
        if not data:
            raise EndOfStream
        if self._received:
            await self._received(len(data))
        return data

    async def send(self, item: bytes) -> None:
        try:
            await send(self._sock, item)
        except OSError as error:
            raise BrokenResourceError from error
        if self._sent:
            await self._sent(len(item))

    async def send_eof(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise BrokenResourceError from error

    async def aclose(self) -> None:
        """Nothing: the socket's owner closes it."""


async def as_server(stream: ByteStream, context: ssl.SSLContext) -> TLSStream:
    """Answer a client's handshake. Raises ssl.SSLError, BrokenResourceError, EndOfStream, TimeoutError."""
    with anyio.fail_after(HANDSHAKE_S):
        return await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)


async def as_client(stream: ByteStream, context: ssl.SSLContext, host: str) -> TLSStream:
    """Begin TLS with the server that is `host`. Raises as `as_server` does."""
    with anyio.fail_after(HANDSHAKE_S):
        return await TLSStream.wrap(
            stream, server_side=False, hostname=host, ssl_context=context, standard_compatible=False
        )


def real_trust() -> ssl.SSLContext:
    """Return what proves the real servers: the certificates that this host trusts, SSL_CERT_FILE included."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
