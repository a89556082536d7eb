"""A client, the exchanges of a run, and a server on loopback that proves itself by a real certificate."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import h11
from anyio.abc import ByteStream, TaskStatus
from anyio.streams.tls import TLSStream

from hutch.egress.exchange import Exchanges, Step
from hutch.egress.exchange.authority import Authority
from hutch.egress.exchange.streams import SocketBytes
from hutch.egress.sockets import accept, connect, receive

Talk = Callable[[ByteStream], Awaitable[None]]  # what the server does with a connection
HOST = "localhost"


@dataclass
class Seen:
    """A request as the server got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Server:
    """Answers every request with what stands here, as many as come on a connection."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Sequence[bytes] = (b"hello",)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    async def __call__(self, stream: ByteStream) -> None:
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        while await self._ask(http, stream):
            await self._answer(http, stream)
            if http.our_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _ask(self, http: h11.Connection, stream: ByteStream) -> bool:
        while not isinstance(event := http.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Request):
                headers = {key.decode(): value.decode() for key, value in event.headers}
                self.seen.append(Seen(event.method.decode(), event.target.decode(), headers))
            elif isinstance(event, h11.Data):
                self.seen[-1].body += bytes(event.data)
            else:
                await self._take(http, stream)
        return isinstance(event, h11.EndOfMessage)

    async def _take(self, http: h11.Connection, stream: ByteStream) -> None:
        if http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await stream.send(http.send(go_on) or b"")
        try:
            http.receive_data(await stream.receive())
        except anyio.EndOfStream:
            http.receive_data(b"")

    async def _answer(self, http: h11.Connection, stream: ByteStream) -> None:
        await stream.send(http.send(h11.Response(status_code=self.status, headers=self.headers)) or b"")
        for piece in self.body if self.seen[-1].method != "HEAD" else ():
            await stream.send(http.send(h11.Data(piece)) or b"")
        await stream.send(http.send(h11.EndOfMessage()) or b"")


@dataclass
class World:
    """Where a client dials, and what it has to trust for that."""

    port: int
    exchanges: Exchanges
    is_tls: bool
    bytes_out: int = 0
    bytes_in: int = 0
    refused: list[str] = field(default_factory=list)
    used: tuple[str, ...] = ()  # names of secrets

    async def sent(self, count: int) -> None:
        self.bytes_out += count

    def refuse(self, told: str) -> None:
        self.refused.append(told)

    def use(self, secrets: tuple[str, ...]) -> None:
        self.used += secrets

    async def received(self, count: int) -> None:
        self.bytes_in += count

    @asynccontextmanager
    async def dial(self, name: str = HOST, alpn: Sequence[str] = ()) -> AsyncIterator[ByteStream]:
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            if not self.is_tls:
                yield stream
                return
            context = ssl.create_default_context(cadata=(self.exchanges.certificate or b"").decode())
            if alpn:
                context.set_alpn_protocols(list(alpn))
            yield await TLSStream.wrap(
                stream, hostname=name, ssl_context=context, server_side=False, standard_compatible=False
            )

    async def ask(self, request: bytes) -> bytes:
        """Send bytes as they are, and return all that comes until the connection ends."""
        async with self.dial() as stream:
            await stream.send(request.replace(b"HOST", f"{HOST}:{self.port}".encode()))
            return await read_all(stream)


async def read_all(stream: ByteStream) -> bytes:
    data = b""
    with anyio.fail_after(60):
        try:
            while True:
                data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return data


@asynccontextmanager
async def world(
    talk: Talk, steps: Sequence[Step], *, is_tls: bool = True, trusted: bool = True, port: int = 0
) -> AsyncIterator[World]:
    real = Authority("the world", [HOST])
    trust = ssl.create_default_context(cadata=real.certificate.decode()) if trusted else None
    exchanges = Exchanges("r-test", steps, trust)
    with _listener(port) as near, _listener() as far:
        here = World(near.getsockname()[1], exchanges, is_tls)

        async def dial() -> socket.socket:
            return await connect("127.0.0.1", far.getsockname()[1])

        async def serve(client: socket.socket) -> None:
            with client:
                await exchanges.serve(client, await receive(client), (HOST, here.port), dial, here)

        async def answer(sock: socket.socket) -> None:
            with sock:
                stream: ByteStream = SocketBytes(sock)
                if is_tls:
                    stream = await TLSStream.wrap(
                        stream, server_side=True, ssl_context=real.context(HOST), standard_compatible=False
                    )
                await talk(stream)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_accept, near, serve)
            tasks.start_soon(_accept, far, answer)
            yield here
            tasks.cancel_scope.cancel()


async def serve_tls(talk: Talk, *, task_status: TaskStatus[tuple[int, bytes]]) -> None:
    """Serve what a real certificate proves; tells its port and the certificate to trust."""
    real = Authority("the world", [HOST])

    async def answer(sock: socket.socket) -> None:
        with sock:
            context = real.context(HOST)
            await talk(
                await TLSStream.wrap(
                    SocketBytes(sock), server_side=True, ssl_context=context, standard_compatible=False
                )
            )

    with _listener() as listener:
        task_status.started((listener.getsockname()[1], real.certificate))
        await _accept(listener, answer)


def _listener(port: int = 0) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    return listener


async def _accept(listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]]) -> None:
    async def guarded(sock: socket.socket) -> None:
        try:
            await serve(sock)
        except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
            return

    async with anyio.create_task_group() as tasks:
        while True:
            tasks.start_soon(guarded, await accept(listener))
