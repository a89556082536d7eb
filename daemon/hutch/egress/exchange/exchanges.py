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

_log = logging.getLogger(__name__)

_TLS_FAILED = (ssl.SSLError, BrokenResourceError, EndOfStream, TimeoutError)
_HANDSHAKE = b"\x16"

Dial = Callable[[], Awaitable[socket.socket]]  # the vetted address; raises UnreachedError


class Tally(Protocol):
    """The bytes on the wire between us and the server."""

    bytes_out: int
    bytes_in: int


class Exchanges:
    """Made when a run starts, with the steps that it has; gone with it."""

    def __init__(self, run_id: str, steps: Sequence[Step], trust: ssl.SSLContext | None = None) -> None:
        self._run_id = run_id
        self._steps = tuple(steps)
        self._hosts = tuple(dict.fromkeys(host for step in steps for host in step.hosts))
        self._authority = Authority(run_id, self._hosts) if self._hosts else None
        self._trust = trust

    @property
    def certificate(self) -> bytes | None:
        """What the sandbox has to trust, as PEM; None: nothing is read of this run."""
        return self._authority.certificate if self._authority else None

    def reads(self, host: str) -> bool:
        """Whether connections to this judged host are read, and not only carried."""
        return any(_is_meant(pattern, host) for pattern in self._hosts)

    async def serve(
        self, client: socket.socket, first: bytes, where: tuple[str, int], dial: Dial, tally: Tally
    ) -> None:
        """Serve a client's connection, of which `first` was read and is not empty, to its end.

        Raises UnreachedError once the client was told of it.
        """
        assert self._authority is not None
        place = Place(*where, is_tls=first.startswith(_HANDSHAKE))
        near: ByteStream = SocketBytes(client, first)
        if place.is_tls:
            try:
                near = await as_server(near, self._authority.context(place.host))
            except _TLS_FAILED as error:
                _log.info("run=%s egress: no TLS with a client of %s: %s", self._run_id, place.host, error)
                return
        with ExitStack() as dialled:

            async def connect() -> ByteStream:
                sock = dialled.enter_context(await dial())
                return await self._far(sock, place, tally)

            await Conversation(near, place, self._steps, connect, self._note(place)).run()

    async def _far(self, sock: socket.socket, place: Place, tally: Tally) -> ByteStream:
        def sent(size: int) -> None:
            tally.bytes_out += size

        def got(size: int) -> None:
            tally.bytes_in += size

        far = SocketBytes(sock, sent=sent, got=got)
        if not place.is_tls:
            return far
        if self._trust is None:
            self._trust = real_trust()
        try:
            return await as_client(far, self._trust, place.host)
        except _TLS_FAILED as error:
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "it hung up"
            raise UnreachedError(f"{place.host} did not prove who it is: {why}") from error

    def _note(self, place: Place) -> Callable[[str], None]:
        def note(why: str) -> None:
            _log.info("run=%s egress: a request to %s was refused: %s", self._run_id, place.host, why)

        return note


def _is_meant(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
