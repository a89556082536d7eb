"""The exchanges of one run: with which hosts, by which steps, under whose certificates."""

import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream

from hutch.egress.exchange.authority import Authority
from hutch.egress.exchange.heads import Place
from hutch.egress.exchange.http import Conversation, UnreachedError
from hutch.egress.exchange.steps import Step
from hutch.egress.exchange.streams import SocketBytes, as_client, as_server, real_trust
from hutch.origins import read_origin

_log = logging.getLogger(__name__)

_TLS_FAILED = (ssl.SSLError, BrokenResourceError, EndOfStream, TimeoutError)
_HANDSHAKE = b"\x16"
_LINES = 100  # in the daemon's log, of clients of one run that do not trust us

Dial = Callable[[], Awaitable[socket.socket]]  # the vetted address; raises UnreachedError


class Watch(Protocol):
    """Is told of the bytes on the wire between us and the server, and of what became of requests."""

    async def sent(self, count: int) -> None: ...
    async def received(self, count: int) -> None: ...
    def refuse(self, told: str) -> None:
        """Take note of a request that was not sent on."""

    def use(self, secrets: tuple[str, ...]) -> None:
        """Take note of secrets, by name, that were put into a request."""


class Exchanges:
    """Made when a run starts, with the steps that it has; gone with it."""

    def __init__(self, run_id: str, steps: Sequence[Step], trust: ssl.SSLContext | None = None) -> None:
        self._run_id = run_id
        self._steps = tuple(steps)
        origins = {read_origin(host) for step in steps for host in step.hosts}
        self._patterns = frozenset(origin.pattern for origin in origins)
        proven = sorted(origin.pattern.host for origin in origins if origin.is_tls)
        self._authority = Authority(run_id, proven) if proven else None
        self._trust = trust
        self._untrusted = 0

    @property
    def certificate(self) -> bytes | None:
        """What the sandbox has to trust, as PEM; None: nothing that is proven is read."""
        return self._authority.certificate if self._authority else None

    def reads(self, host: str, port: int) -> bool:
        """Whether connections to this judged destination are read, and not only carried."""
        return any(pattern.covers(host, port) for pattern in self._patterns)

    async def serve(
        self, client: socket.socket, first: bytes, where: tuple[str, int], dial: Dial, watch: Watch
    ) -> None:
        """Serve a client's connection, of which `first` was read and is not empty, to its end.

        Raises UnreachedError once the client was told of it.
        """
        place = Place(*where, is_tls=first.startswith(_HANDSHAKE))
        near: ByteStream = SocketBytes(client, first)
        if place.is_tls:
            if self._authority is None:
                return
            try:
                near = await as_server(near, self._authority.context(place.host))
            except _TLS_FAILED as error:
                self._untrusted += 1
                if self._untrusted <= _LINES:
                    _log.info(
                        "run=%s egress: no TLS with a client of %s: %s", self._run_id, place.host, error
                    )
                return
        with ExitStack() as dialled:

            async def connect() -> ByteStream:
                sock = dialled.enter_context(await dial())
                return await self._far(sock, place, watch)

            await Conversation(near, place, self._steps, connect, watch).run()

    async def _far(self, sock: socket.socket, place: Place, watch: Watch) -> ByteStream:
        far = SocketBytes(sock, sent=watch.sent, received=watch.received)
        if not place.is_tls:
            return far
        if self._trust is None:
            self._trust = real_trust()
        try:
            return await as_client(far, self._trust, place.host)
        except _TLS_FAILED as error:
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "it hung up"
            raise UnreachedError(f"{place.host} did not prove who it is: {why}") from error
