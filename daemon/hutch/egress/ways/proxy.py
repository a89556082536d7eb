"""The proxy inside: HTTP CONNECT and absolute form, read by h11, and SOCKS, told apart by the first byte.

A connection has one request. What was read of a head is what is sent on, so nobody can read another in it.
"""

import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import h11
from anyio import move_on_after

from hutch.destinations import NotADestinationError, read_port
from hutch.egress.passage import Client
from hutch.egress.records import Refusal
from hutch.egress.sockets import receive, send
from hutch.egress.ways import socks

HEAD_S = 10.0  # for all of a request's head
MAX_HEAD = 64 << 10  # bytes
LINGER_S = 2.0  # for what a client still sends when it was refused: else it loses the answer
LINGER_BYTES = 1 << 20

_ABSOLUTE = re.compile(rb"(?i:http)://([^/?#@\s]+)([/?][\x21-\x7e]*)?")
_AUTHORITY = re.compile(rb"(\[[^\]]*\]|[^:\[\]]+)(?::([^:]*))?")
_HTTP_PORT = 80
_STATUS = {
    Refusal.REQUEST: 400,
    Refusal.UNRESOLVED: 502,
    Refusal.UNREACHABLE: 502,
    Refusal.TOO_MANY: 503,
}
_FRAMING = (b"content-length", b"transfer-encoding")
_HOP = (b"host", b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive", b"upgrade")


class Asking(Protocol):
    """Has a destination judged, and the client carried there or told why not."""

    def __call__(self, client: Client, host: str, port: int) -> Awaitable[None]: ...


Refused = Callable[[Refusal, str], None]  # told of a request that cannot be read, and why


class BadRequestError(Exception):
    """A request that is not read any further, and what its client is told."""

    def __init__(self, told: str, status: int = 400) -> None:
        super().__init__(told)
        self.status = status


@dataclass(slots=True)
class _HttpClient(Client):
    way: str = "proxy"
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))

    async def opened(self) -> None:
        await send(self.sock, self.http.send(h11.Response(status_code=200, headers=[], reason=b"OK")) or b"")
        self.first += self.http.trailing_data[0]

    async def refused(self, why: Refusal, told: str) -> None:
        await self.answer(_STATUS.get(why, 403), told)

    async def answer(self, status: int, told: str) -> None:
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return  # the way was open already
        body = f"hutch: {told}\n".encode()
        head = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        events = (
            h11.Response(status_code=status, headers=head, reason=b""),
            h11.Data(body),
            h11.EndOfMessage(),
        )
        await send(self.sock, b"".join(self.http.send(event) or b"" for event in events))
        await _linger(self.sock)


@dataclass(slots=True)
class _SocksClient(Client):
    way: str = "socks"
    version: int = 5

    async def opened(self) -> None:
        await send(self.sock, socks.opened(self.version))

    async def refused(self, why: Refusal, told: str) -> None:
        await send(self.sock, socks.refused(self.version, why))


class Proxy:
    """Stands at one port, for HTTP and for SOCKS."""

    def __init__(self, asking: Asking, refused: Refused) -> None:
        self._asking = asking
        self._refused = refused

    async def serve(self, sock: socket.socket) -> None:
        """Take one client to its end. Raises OSError."""
        first = b""
        with move_on_after(HEAD_S):
            first = await receive(sock)
        if not first:
            return
        if first[0] in socks.VERSIONS:
            await self._socks(sock, first)
        else:
            await self._http(sock, first)

    async def _http(self, sock: socket.socket, first: bytes) -> None:
        client = _HttpClient(sock, http=h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD))
        try:
            request = await _head(client, first)
            if request is None:
                return
            host, port = (
                _connect(request, client) if request.method == b"CONNECT" else _plain(request, client)
            )
        except BadRequestError as error:
            self._refused(Refusal.REQUEST, str(error))
            await client.answer(error.status, str(error))
            return
        await self._asking(client, host, port)

    async def _socks(self, sock: socket.socket, first: bytes) -> None:
        reading, asked, data = socks.read(first[0]), None, first[1:]
        try:
            with move_on_after(HEAD_S):
                wanted = next(reading)
                while asked is None:
                    if isinstance(wanted, bytes):
                        await send(sock, wanted)
                        wanted = reading.send(b"")
                        continue
                    while len(data) < wanted:
                        if not (piece := await receive(sock)):
                            return
                        data += piece
                    given, data = data[:wanted], data[wanted:]
                    try:
                        wanted = reading.send(given)
                    except StopIteration as done:
                        asked = done.value
        except socks.BadSocksError as error:
            self._refused(Refusal.REQUEST, str(error))
            await send(sock, error.reply)
            return
        if asked is not None:
            client = _SocksClient(sock, first=data, waits=True, version=asked.version)
            await self._asking(client, asked.host, asked.port)


async def _head(client: _HttpClient, first: bytes) -> h11.Request | None:
    """Wait for a request's head; None: its client has gone, or takes too long."""
    client.http.receive_data(first)
    with move_on_after(HEAD_S):
        while True:
            try:
                event = client.http.next_event()
            except h11.RemoteProtocolError as error:
                raise BadRequestError(f"this is no HTTP/1.1: {error}", error.error_status_hint) from None
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            client.http.receive_data(await receive(client.sock))
    return None


def _connect(request: h11.Request, client: _HttpClient) -> tuple[str, int]:
    """Read "host:port", and see that nothing else is said of it."""
    client.waits = True
    if any(name in _FRAMING and value != b"0" for name, value in request.headers):
        raise BadRequestError("CONNECT has no body")
    host, port = _authority(bytes(request.target), None)
    _check_host(request, host, port)
    client.http.next_event()  # the end of the message: what follows is the server's
    return host, port


def _plain(request: h11.Request, client: _HttpClient) -> tuple[str, int]:
    """Read "http://host/path", and write what the server is to be asked."""
    found = _ABSOLUTE.fullmatch(bytes(request.target))
    if found is None:
        raise BadRequestError("ask a proxy by CONNECT, or for an absolute URI http://host/path")
    if sum(name in _FRAMING for name, _ in request.headers) > 1:
        raise BadRequestError("its body's length is said in two ways")
    host, port = _authority(found[1], _HTTP_PORT)
    _check_host(request, host, port)
    path = found[2] or b"/"
    named = {name.strip().lower() for n, v in request.headers if n == b"connection" for name in v.split(b",")}
    left_out = {*_HOP, *(named - {*_FRAMING})}
    kept = [(n, v) for n, v in request.headers.raw_items() if n.lower() not in left_out]
    host_header = found[1].lower()
    lines = [(b"Host", host_header), *kept, (b"Connection", b"close")]
    head = request.method + b" " + (path if path.startswith(b"/") else b"/" + path) + b" HTTP/1.1\r\n"
    client.first = (
        head + b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n"
    ) + client.http.trailing_data[0]
    return host, port


def _authority(text: bytes, default: int | None) -> tuple[str, int]:
    """Read "host:port"; whether the host is one is seen when it is judged."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise BadRequestError("it names no host")
    host, port = found[1].decode("latin-1"), found[2]
    if port is None and default is not None:
        return host, default
    try:
        return host, read_port((port or b"").decode("latin-1"))
    except NotADestinationError as error:
        raise BadRequestError(f"it names no port: {error}") from None


def _check_host(request: h11.Request, host: str, port: int) -> None:
    """See that the header and the target agree: two programs might believe another one of them."""
    default = port if request.method == b"CONNECT" else _HTTP_PORT
    for name, value in request.headers:
        if name == b"host":
            said, said_port = _authority(bytes(value), default)
            if (said.lower(), said_port) != (host.lower(), port):
                raise BadRequestError("its Host header names another host than its target")


async def _linger(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    size = 0
    with move_on_after(LINGER_S):
        while size < LINGER_BYTES and (data := await receive(sock)):
            size += len(data)
