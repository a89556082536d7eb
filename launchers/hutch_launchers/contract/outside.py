"""The world outside, as attacks on a sandbox's ways out find it: public names and one server for all.

The egress is handed in. It asks here what a name stands for, and has its connections made here, so that
nothing leaves the host. What is not to come here bears the word `evil`.
"""

import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket

import anyio
from anyio.abc import SocketAttribute, SocketStream

from hutch_launchers.spec import EgressEndpoint

PUBLIC = "93.184.215.14"
NOT_PUBLIC: Mapping[str, list[str]] = {  # names below a granted wildcard, and what they stand for
    "private": ["10.0.0.1"],
    "carrier": ["100.64.0.1"],
    "loopback": ["127.0.0.1"],
    "nothing": ["0.0.0.0"],  # noqa: S104 - an address to be refused
    "link": ["169.254.1.1"],
    "metadata": ["169.254.169.254"],
    "metadata6": ["fd00:ec2::254"],
    "mapped": ["::ffff:127.0.0.1"],
    "translated": ["64:ff9b::7f00:1"],
    "local6": ["fc00::1"],
    "self6": ["::1"],
}
MIXED = "mixed"  # stands for private addresses and the public one
BOMB = zlib.compress(bytes(32 << 20))
_PIECE = bytes(64 << 10)
_ALL = 1 << 20  # that the event loop reads at once: what is left of it would heap up here, and count as held
_HEAD = 64 << 10
_AT_ONCE = 160  # connections of one sandbox, those included that are just ending
_PATIENCE_S = 20.0
_SERVICE = "service.example.org"


@dataclass(frozen=True, slots=True)
class WaysOut:
    """What the egress has opened for a sandbox."""

    endpoint: EgressEndpoint
    env: Mapping[str, str]  # by which programs inside find the proxy


@dataclass
class Outside:
    """One server for all names, and what was asked of it and of whoever resolves names."""

    port: int = 0
    resolved: set[str] = field(default_factory=set)
    dialled: set[tuple[str, int]] = field(default_factory=set)
    evil: list[bytes] = field(default_factory=list)  # what came and must not have
    open: int = 0  # connections
    most: int = 0  # of them at once

    @property
    def network(self) -> str:
        """What is granted, as a network of the configuration says it."""
        return f"""
allow = [
  "api.example.org", "api.example.org:80", "*.cdn.example.org", "*.cdn.example.org:80", "read.example.org:80"
]
deny = ["denied.cdn.example.org"]
host_services = ["{_SERVICE}:{self.port}"]
http = {{"read.example.org:80" = {{methods = ["GET", "POST"], paths = ["/read/*"]}}}}
"""

    @property
    def facts(self) -> Mapping[str, object]:
        """What an attack program is told of it."""
        return {"not_public": sorted(NOT_PUBLIC), "service": [_SERVICE, self.port], "bomb": len(BOMB)}

    async def resolve(self, host: str, _: int) -> list[str]:
        """What a name stands for."""
        self.resolved.add(host)
        if host == _SERVICE:
            return ["127.0.0.1"]
        first = host.partition(".")[0]
        return NOT_PUBLIC.get(first) or (["10.0.0.1", "127.0.0.1", PUBLIC] if first == MIXED else [PUBLIC])

    async def dial(self, address: str, port: int) -> socket:
        """Make a connection of the egress, to the server here. Raises OSError."""
        self.dialled.add((address, port))
        if address != PUBLIC and (address, port) != ("127.0.0.1", self.port):
            raise ConnectionRefusedError(address)
        made = socket(AF_INET, SOCK_STREAM)
        made.connect(("127.0.0.1", self.port))
        made.settimeout(0)
        return made

    def disturbed(self) -> Iterator[str]:
        """What came through and must not have."""
        if self.evil:
            yield f"this came out: {self.evil[0][:200]!r}"
        if wrong := sorted(each for each in self.dialled if each[0] != PUBLIC and each[1] != self.port):
            yield f"these were dialled: {wrong}"
        if asked := sorted(name for name in self.resolved if "evil" in name):
            yield f"these names were resolved: {asked}"
        if self.most > _AT_ONCE:
            yield f"{self.most} connections came at once"


Egress = Callable[[Outside, Path], AbstractAsyncContextManager[WaysOut]]  # serves one sandbox, from a folder


@asynccontextmanager
async def outside() -> AsyncGenerator[Outside]:
    """Have it there for the length of the block."""
    world = Outside()

    async def serve(stream: SocketStream) -> None:
        world.open += 1
        world.most = max(world.most, world.open)
        try:
            async with stream:
                with (
                    anyio.move_on_after(_PATIENCE_S),
                    suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError),
                ):
                    await _answer(world, stream)
        finally:
            world.open -= 1

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=512)
    world.port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - no Django
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield world
        tasks.cancel_scope.cancel()


async def _answer(world: Outside, stream: SocketStream) -> None:
    """Say something to whoever begins TLS, and answer one request of HTTP."""
    data = await stream.receive()
    while not data.startswith(b"\x16") and b"\r\n\r\n" not in data and len(data) < _HEAD:
        data += await stream.receive()
    if b"evil" in data.lower():
        world.evil.append(data)
    if data.startswith(b"\x16"):
        await stream.send(b"hello by TLS")
        return
    head, _, body = data.partition(b"\r\n\r\n")
    path = head.split(b" ")[1].decode(errors="replace") if b" " in head else ""
    what = path.removeprefix("/read")
    if what == "/endless":
        await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send(_PIECE)
    elif what == "/bomb":
        await _say(stream, BOMB, b"Content-Encoding: deflate\r\n")
    elif what.startswith("/to/"):
        where = bytes.fromhex(path.partition("/to/")[2])
        await stream.send(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % where)
    else:
        await _say(stream, b"hello %d" % await _length(world, stream, head, body))


async def _length(world: Outside, stream: SocketStream, head: bytes, body: bytes) -> int:
    """Take a request's body, whose length it says; return how much came."""
    lines = head.lower().split(b"\r\n")
    said = [line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")]
    came, wanted = len(body), int(said[0]) if said else 0
    while came < wanted:
        piece = await stream.receive(_ALL)
        if b"evil" in piece:
            world.evil.append(piece)
        came += len(piece)
    return came


async def _say(stream: SocketStream, body: bytes, headers: bytes = b"") -> None:
    length = b"Content-Length: %d\r\n" % len(body)
    await stream.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + headers + length + b"\r\n" + body)
