"""Proves that a secret works: requests with its placeholder and without take the way of a sandbox's own."""

import socket
import ssl
from dataclasses import dataclass, field

import anyio
import h11
from anyio.abc import ByteStream

from hutch.egress.addresses import vetted
from hutch.egress.exchange import Exchanges, Request, UnreachedError
from hutch.egress.exchange.streams import SocketBytes, as_client
from hutch.egress.resolver import ask_host
from hutch.egress.sockets import connect, receive
from hutch.errors import HutchError
from hutch.origins import Origin
from hutch.secrets.held import Held
from hutch.secrets.step import Secrets

_PATIENCE_S = 30.0
_REFUSED = frozenset({401, 403})
_NAME = "hutch secret check"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a host answered, with the secret and without."""

    url: str
    status: int
    without: int

    @property
    def works(self) -> bool | None:
        """None: the host answers alike with and without it, which proves nothing."""
        if self.status in _REFUSED:
            return False
        return True if self.without in _REFUSED else None


async def check(held: Held, path: str, *, is_near: bool) -> Checked:
    """Ask the first of a secret's hosts for `path`; `is_near`: it may be this machine or its network.

    Raises HutchError `secret_unchecked` where there is no answer.
    """
    origin = next((each for each in held.hosts if not each.pattern.is_below), None)
    if origin is None or origin.pattern.port is None:
        raise HutchError(
            "secret_unchecked", f"secret {held.name} is for no single host", "name one in its hosts"
        )
    where = origin.pattern.host, origin.pattern.port
    bare = Request(*where, origin.is_tls, "GET", path, ((b"User-Agent", b"hutch"), (b"Accept", b"*/*")))
    filled = held.places[0].filled(bare, held.phantom.encode())
    way = _Way(held, origin, is_near)
    url = f"{'https' if origin.is_tls else 'http'}://{where[0]}:{where[1]}{path}"
    try:
        with anyio.fail_after(_PATIENCE_S):
            return Checked(url, await way.ask(filled), await way.ask(bare))
    except TimeoutError:
        raise _unchecked(held, f"{where[0]} gave no answer in {_PATIENCE_S:g} s") from None


@dataclass(slots=True)
class _Way:
    held: Held
    origin: Origin
    is_near: bool
    told: list[str] = field(default_factory=list)

    async def ask(self, request: Request) -> int:
        """Send a request as a sandbox would, and return the status of its answer."""
        exchanges = Exchanges(_NAME, [Secrets(_NAME, [self.held])])
        inside, outside = socket.socketpair()
        with inside, outside:
            for end in (inside, outside):
                end.settimeout(0)
            async with anyio.create_task_group() as both:
                both.start_soon(self._serve, exchanges, outside)
                stream: ByteStream = SocketBytes(inside)
                if self.origin.is_tls:
                    trust = ssl.create_default_context(cadata=(exchanges.certificate or b"").decode())
                    stream = await as_client(stream, trust, request.host)
                status = await _answered(stream, request)
                both.cancel_scope.cancel()
        if self.told:
            raise _unchecked(self.held, self.told[0])
        return status

    async def _serve(self, exchanges: Exchanges, client: socket.socket) -> None:
        host, port = self.origin.pattern.host, self.origin.pattern.port or 0

        async def dial() -> socket.socket:
            return await self._dial(host, port)

        try:
            await exchanges.serve(client, await receive(client), (host, port), dial, self)
        except UnreachedError as error:
            self.told.append(error.told)

    async def _dial(self, host: str, port: int) -> socket.socket:
        try:
            for address in vetted(await ask_host(host, port), is_host_service=self.is_near):
                return await connect(str(address), port)
        except (OSError, UnicodeError) as error:
            raise UnreachedError(f"{host}:{port} is not reached: {error}") from error
        raise UnreachedError(f"{host} stands for no address that may be dialled")

    async def sent(self, count: int) -> None: ...
    async def received(self, count: int) -> None: ...

    def use(self, secrets: tuple[str, ...]) -> None: ...

    def refuse(self, told: str) -> None:
        self.told.append(told)


async def _answered(stream: ByteStream, request: Request) -> int:
    http = h11.Connection(h11.CLIENT)
    host = f"{request.host}:{request.port}".encode()
    head = h11.Request(
        method=request.method,
        target=request.target,
        headers=[(b"Host", host), (b"Connection", b"close"), *request.headers],
    )
    await stream.send((http.send(head) or b"") + (http.send(h11.EndOfMessage()) or b""))
    while True:
        event = http.next_event()
        if isinstance(event, h11.Response):
            return event.status_code
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive())


def _unchecked(held: Held, why: str) -> HutchError:
    return HutchError("secret_unchecked", f"secret {held.name} could not be tried: {why}")
