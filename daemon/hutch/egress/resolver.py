"""The addresses of a name, as the host's own resolver gives them, and the way to one."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

import anyio

from hutch.egress.sockets import connect

ANSWER_S = 2.0  # that a name's addresses are kept: a burst of connections asks once
NAMES = 256  # whose addresses are kept

Ask = Callable[[str, int], Awaitable[list[str]]]
Connect = Callable[[str, int], Awaitable[socket.socket]]  # to an address, never a name; raises OSError


async def ask_host(host: str, port: int) -> list[str]:
    """Return a name's addresses as the host's own resolver gives them. Raises OSError, UnicodeError."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


@dataclass(slots=True)
class Resolver:
    """Asks one question at a time: a run cannot take all of the daemon's threads."""

    _ask: Ask = ask_host
    connect: Connect = connect
    _asking: anyio.Lock = field(default_factory=anyio.Lock)
    _answers: dict[str, tuple[float, list[str]]] = field(default_factory=dict)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return what a name stands for now. Raises OSError, UnicodeError."""
        async with self._asking:
            known = self._answers.get(host)
            if known is not None and monotonic() - known[0] < ANSWER_S:
                return known[1]
            answer = await self._ask(host, port)
            if len(self._answers) >= NAMES:
                self._answers.clear()
            self._answers[host] = monotonic(), answer
            return answer
