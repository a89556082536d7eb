"""Carries a passage blindly: bytes both ways. Of TLS, only the name that the client asks for is read."""

import socket
from contextlib import suppress

import anyio
from anyio import CancelScope, current_time, move_on_after

from hutch.destinations import TLS_PORT
from hutch.egress.hello import NotHelloError, server_name
from hutch.egress.passage import Passage, RefusedError
from hutch.egress.records import Refusal
from hutch.egress.sockets import receive, send

HELLO_S = 10.0  # for a client to say which server it wants; TLS libraries do so at once
IDLE_S = 900.0  # without a byte either way; a model may think for minutes before it answers

_HANDSHAKE = b"\x16\x03"  # the first bytes of TLS


async def tunnel(passage: Passage) -> None:
    """Raises RefusedError.

    A client at a door says its server's name before anything is dialled; one that waits to be told so, after.
    """
    is_tls = passage.port == TLS_PORT and not passage.rule.is_host_service
    first = passage.client.first
    if is_tls and not passage.client.waits:
        first = await _hello(passage)
    with await passage.dial() as server:
        if passage.client.waits:
            with suppress(OSError):
                await passage.client.opened()
        if is_tls and passage.client.waits:
            first = await _hello(passage)
        await _Pipe(passage, server).run(first)


async def _hello(passage: Passage) -> bytes:
    """Read the client's first bytes until they name the granted server."""
    data = passage.client.first
    with move_on_after(HELLO_S):
        while (name := _named(data)) is None:
            try:
                piece = await receive(passage.client.sock)
            except OSError:
                break
            if not piece:
                break
            data += piece
        if name == passage.host:
            return data
    raise RefusedError(Refusal.SERVER_NAME)


def _named(data: bytes) -> str | None:
    """Return the server name, empty where there will be none; None: more bytes are needed."""
    try:
        return server_name(data)
    except NotHelloError:
        return ""


class _Pipe:
    def __init__(self, passage: Passage, server: socket.socket) -> None:
        self._passage = passage
        self._client = passage.client.sock
        self._server = server
        self._scope = CancelScope()

    async def run(self, first: bytes) -> None:
        with self._scope:
            self._lives()
            async with anyio.create_task_group() as both:
                both.start_soon(self._outward, first)
                both.start_soon(self._inward)

    async def _outward(self, first: bytes) -> None:
        data = await self._begun(first)
        while data or (data := await self._from_client()):
            self._lives()
            try:
                await send(self._server, data)
            except OSError:
                return  # it takes no more, and may have said why: let that still come in
            await self._passage.sent(len(data))
            data = b""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)

    async def _begun(self, first: bytes) -> bytes:
        """Return the client's first bytes; where they begin TLS, it must be to no other server.

        At other ports than 443 TLS may name none, and a server may speak first.
        """
        data = first or await self._from_client()
        if self._passage.rule.is_host_service or not data.startswith(_HANDSHAKE):
            return data
        with move_on_after(HELLO_S):
            while (name := _named(data)) is None:
                if not (piece := await self._from_client()):
                    break
                data += piece
        if name and name != self._passage.host:
            self._passage.cut(Refusal.SERVER_NAME)
        return data

    async def _from_client(self) -> bytes:
        try:
            return await receive(self._client)
        except OSError:
            self._scope.cancel()
            return b""

    async def _inward(self) -> None:
        try:
            while data := await receive(self._server):
                self._lives()
                await send(self._client, data)
                await self._passage.received(len(data))
            self._client.shutdown(socket.SHUT_WR)
        except OSError:
            self._scope.cancel()

    def _lives(self) -> None:
        self._scope.deadline = current_time() + IDLE_S
