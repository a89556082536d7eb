"""One connection that was judged: who asks, for what, by which rule, and where it goes."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from anyio import CancelScope, move_on_after, sleep

from hutch.egress.addresses import Address, vetted
from hutch.egress.in_force import InForce
from hutch.egress.records import Refusal
from hutch.egress.resolver import Resolver
from hutch.egress.rules import Rule
from hutch.egress.sockets import is_own

DIAL_S = 15.0  # to resolve the name and reach one of its addresses
SOCKET_S = 30.0  # to reach a socket of this host
_ASK_AGAIN_S = 0.05
ATTEMPT_S = 5.0  # for one address, before the next is tried
ADDRESSES = 4  # that are tried


class RefusedError(Exception):
    """The connection is not made."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why = why


@dataclass(slots=True)
class Client:
    """Whoever asks, inside. At a door it is told nothing: its connection is the way."""

    sock: socket.socket
    first: bytes = b""  # what it has sent already of what is to be carried
    waits: bool = False  # for `opened`, before it says anything to its server
    way: str = "door"  # by which it came

    async def opened(self) -> None:
        """Tell it that the way is open. Raises OSError."""

    async def refused(self, why: Refusal, told: str) -> None:
        """Tell it that there is none, and why. Raises OSError."""


@dataclass(slots=True)
class Passage:
    """A client's connection to a destination that `rule` grants; its counters may be read at any time.

    Whoever carries it dials by `dial`, counts by `sent` and `received`, and raises RefusedError.
    """

    client: Client
    host: str
    port: int
    rule: Rule
    network: InForce
    resolver: Resolver
    address: Address | None = None  # that was dialled
    bytes_out: int = 0
    bytes_in: int = 0
    refused: Refusal | None = None
    told: str = ""  # of what was refused on it, where that is more than its kind
    secrets: tuple[str, ...] = ()  # names of those that were put into its requests
    scope: CancelScope = field(default_factory=CancelScope)

    async def run(self, carry: "Carry") -> None:
        """Have it carried to its end. Raises RefusedError; a connection that breaks off has simply ended."""
        if await self.network.wait_for_room(self.host, self.port):
            raise RefusedError(Refusal.BYTES)
        with self.network.watching(self), self.scope:
            await carry(self)

    def cut(self, why: Refusal) -> None:
        """End it now."""
        if self.refused is None:
            self.refused = why
        self.scope.cancel()

    def refuse(self, told: str) -> None:
        """Note that a request on it was not sent on; the connection may go on."""
        self.refused, self.told = Refusal.HTTP, told

    def use(self, secrets: tuple[str, ...]) -> None:
        """Note which secrets were put into a request on it."""
        self.secrets = tuple(dict.fromkeys((*self.secrets, *secrets)))

    async def sent(self, count: int) -> None:
        """Count bytes out of the sandbox; wait until more may pass, and end it where none may."""
        self.bytes_out += count
        await self._spend(count)

    async def received(self, count: int) -> None:
        """Count bytes into the sandbox; the same."""
        self.bytes_in += count
        await self._spend(count)

    async def dial(self) -> socket.socket:
        """Connect to the first of the name's addresses that may be and answers. Raises RefusedError."""
        why = Refusal.UNRESOLVED
        if self.rule.socket is not None:
            return await _dial_socket(str(self.rule.socket))
        with move_on_after(DIAL_S):
            try:
                answer = await self.resolver.addresses(self.host, self.port)
            except (OSError, UnicodeError):
                raise RefusedError(why) from None
            why = Refusal.ADDRESS
            for address in vetted(answer, is_host_service=self.rule.is_host_service)[:ADDRESSES]:
                if not self.rule.is_host_service and is_own(str(address)):
                    continue  # public, and yet behind this machine's firewall
                why = Refusal.UNREACHABLE
                with move_on_after(ATTEMPT_S):
                    try:
                        server = await self.resolver.connect(str(address), self.port)
                    except OSError:
                        continue
                    self.address = address
                    return server
        raise RefusedError(why)

    async def _spend(self, count: int) -> None:
        is_over = self.network.spend(self.host, self.port, count)
        if is_over or await self.network.wait_for_room(self.host, self.port):
            self.cut(Refusal.BYTES)


async def _dial_socket(path: str) -> socket.socket:
    """Connect to a unix socket; who listens there may just be started anew."""
    with move_on_after(SOCKET_S):
        while True:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                server.connect(path)
            except OSError:
                server.close()
                await sleep(_ASK_AGAIN_S)
                continue
            return server
    raise RefusedError(Refusal.UNREACHABLE)


Carry = Callable[[Passage], Awaitable[None]]
