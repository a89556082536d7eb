"""One connection through a door: is it what was granted, where does it go, and its bytes both ways."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

import anyio
from anyio import CancelScope, current_time, move_on_after

from hutch.egress.hello import NotHelloError, server_name
from hutch.egress.rules import Address, Grant, Refusal, vetted
from hutch.egress.sockets import connect, receive, send

HELLO_S = 10.0  # for a client to say which server it wants; TLS libraries do so at once
DIAL_S = 15.0  # to resolve the name and reach one of its addresses
ATTEMPT_S = 5.0  # for one address, before the next is tried
ADDRESSES = 4  # that are tried
IDLE_S = 900.0  # without a byte either way; a model may think for minutes before it answers
ANSWER_S = 2.0  # that a name's addresses are kept: a burst of connections asks once

_TLS_PORT = 443


class RefusedError(Exception):
    """The connection is not made."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


Ask = Callable[[str, int], Awaitable[list[str]]]


async def ask_host(host: str, port: int) -> list[str]:
    """Return a name's addresses as the host's own resolver gives them. Raises OSError, UnicodeError."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


@dataclass(slots=True)
class Resolver:
    """Asks one question at a time: a run cannot take all of the daemon's threads."""

    _ask: Ask
    _asking: anyio.Lock = field(default_factory=anyio.Lock)
    _answers: dict[str, tuple[float, list[str]]] = field(default_factory=dict)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return what a name stands for now. Raises OSError, UnicodeError."""
        async with self._asking:
            known = self._answers.get(host)
            if known is not None and monotonic() - known[0] < ANSWER_S:
                return known[1]
            answer = await self._ask(host, port)
            self._answers[host] = monotonic(), answer
            return answer


@dataclass(slots=True)
class Passage:
    """A client's connection to what `grant` grants; its counters may be read at any time."""

    grant: Grant
    client: socket.socket
    resolver: Resolver
    address: Address | None = None  # that was dialled
    bytes_out: int = 0
    bytes_in: int = 0

    async def run(self) -> None:
        """Serve it to its end. Raises RefusedError; a connection that breaks off has simply ended."""
        first = b""
        if self.grant.port == _TLS_PORT and not self.grant.is_host_service:
            first = await self._hello()
        server = await self._dial()
        with server:
            await self._pipe(server, first)

    async def _hello(self) -> bytes:
        """Read the client's first bytes until they name the granted server."""
        data = b""
        with move_on_after(HELLO_S):
            while (name := _named(data)) is None:
                try:
                    piece = await receive(self.client)
                except OSError:
                    break
                if not piece:
                    break
                data += piece
            if name == self.grant.host:
                return data
        raise RefusedError(Refusal.SERVER_NAME)

    async def _dial(self) -> socket.socket:
        why = Refusal.UNRESOLVED
        with move_on_after(DIAL_S):
            try:
                answer = await self.resolver.addresses(self.grant.host, self.grant.port)
            except (OSError, UnicodeError):
                raise RefusedError(why) from None
            why = Refusal.ADDRESS
            for address in vetted(answer, self.grant)[:ADDRESSES]:
                why = Refusal.UNREACHABLE
                with move_on_after(ATTEMPT_S):
                    try:
                        server = await connect(str(address), self.grant.port)
                    except OSError:
                        continue
                    self.address = address
                    return server
        raise RefusedError(why)

    async def _pipe(self, server: socket.socket, first: bytes) -> None:
        with CancelScope() as scope:
            scope.deadline = current_time() + IDLE_S
            async with anyio.create_task_group() as both:
                both.start_soon(self._outward, server, first, scope)
                both.start_soon(self._inward, server, scope)

    async def _outward(self, server: socket.socket, first: bytes, scope: CancelScope) -> None:
        data = first
        while data or (data := await self._from_client(scope)):
            scope.deadline = current_time() + IDLE_S
            try:
                await send(server, data)
            except OSError:
                return  # it takes no more, and may have said why: let that still come in
            self.bytes_out += len(data)
            data = b""
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    async def _from_client(self, scope: CancelScope) -> bytes:
        try:
            return await receive(self.client)
        except OSError:
            scope.cancel()
            return b""

    async def _inward(self, server: socket.socket, scope: CancelScope) -> None:
        try:
            while data := await receive(server):
                scope.deadline = current_time() + IDLE_S
                await send(self.client, data)
                self.bytes_in += len(data)
            self.client.shutdown(socket.SHUT_WR)
        except OSError:
            scope.cancel()


def _named(data: bytes) -> str | None:
    """Return the server name, empty where there will be none; None: more bytes are needed."""
    try:
        return server_name(data)
    except NotHelloError:
        return ""
