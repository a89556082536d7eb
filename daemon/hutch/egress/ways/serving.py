"""Whoever comes to a run's ways is named, judged, carried, and logged; so many at once, and no more."""

import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic

import anyio

from hutch.destinations import TLS_PORT, NotADestinationError, read_host
from hutch.egress.in_force import InForce
from hutch.egress.ledger import Ledger
from hutch.egress.passage import Carry, Client, Passage, RefusedError
from hutch.egress.records import Connection, Refusal
from hutch.egress.resolver import Resolver
from hutch.egress.rules import Missing
from hutch.egress.sockets import accept
from hutch.egress.ways.names import Names

CONNECTIONS = 128  # of one run at once; each costs two descriptors of the daemon
PAUSE_S = 0.05  # after every so many refusals: a flood must not become the event loop's only work
REFUSALS = 32

_PROXY = "(proxy)"  # in place of a host, where none was read
_SHOWN = 253  # characters of what was asked for and is no name
_NAMES = 1000  # refused ones that are logged, each once
_LINES = 1000  # of refusals of one run in the daemon's own log, which nobody makes shorter

_log = logging.getLogger(__name__)

Serve = Callable[[socket.socket], Awaitable[None]]


class Serving:
    """What all ways of one run have in common."""

    def __init__(
        self, run_id: str, network: InForce, names: Names, ledger: Ledger, resolver: Resolver, carry: Carry
    ) -> None:
        self._run_id = run_id
        self._network = network
        self._names = names
        self._ledger = ledger
        self._resolver = resolver
        self._carry = carry
        self._open = 0
        self._lines = 0
        self._unknown: set[str] = set()

    async def accept(self, listener: socket.socket, serve: Serve) -> None:
        """Have whoever comes served, as many at once as a run may have."""
        refusals = 0
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    client = await accept(listener)
                except OSError as error:  # the daemon has no descriptors left
                    _log.warning("run=%s egress: no connection is accepted: %s", self._run_id, error)
                    await anyio.sleep(PAUSE_S)
                    continue
                if self._open < CONNECTIONS:
                    self._open += 1
                    tasks.start_soon(self._serve, serve, client)
                    continue
                address, port = client.getsockname()
                client.close()
                self._refuse(self._names.name_at(address, port) or address, port, Refusal.TOO_MANY, "")
                refusals += 1
                if refusals % REFUSALS == 0:
                    await anyio.sleep(PAUSE_S)

    async def _serve(self, serve: Serve, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):  # a client that has gone
                await serve(client)
        finally:
            self._open -= 1

    async def ask(self, client: Client, host: str, port: int) -> None:
        """Judge what a client asks for, a name or an address inside; carry it, or tell it why not."""
        try:
            name = self._names.name_at(host, port) or read_host(host)
        except NotADestinationError as error:
            shown = host.encode("unicode_escape").decode()[:_SHOWN]
            told = f"{shown}: {error}"
            self._refuse(shown, port, Refusal.NAME, client.way, told=told)
            await client.refused(Refusal.NAME, told)
            return
        judged = self._network.judge(name, port)
        if isinstance(judged, Missing):
            self._refuse(name, port, Refusal.RULE, client.way, judged.rule, judged.told)
            await client.refused(Refusal.RULE, judged.told)
            return
        await self._pass(Passage(client, name, port, judged, self._network, self._resolver))

    async def _pass(self, passage: Passage) -> None:
        started_at, start = datetime.now(UTC), monotonic()
        try:
            await passage.run(self._carry)
        except RefusedError as error:
            where = f"{passage.host}:{passage.port}"
            passage.refused = error.why
            self._say(where, error.why)
            with suppress(OSError):
                await passage.client.refused(error.why, f"{where}: {error.why.told}")
        finally:
            self._ledger.add(_record(self._run_id, passage, started_at, monotonic() - start))

    def refuse_name(self, host: str) -> None:
        """Log a name that was asked for and is not there: once, as programs ask again and again."""
        if host not in self._unknown and len(self._unknown) < _NAMES:
            self._unknown.add(host)
            missing = self._network.judge(host, TLS_PORT)
            rule, told = (missing.rule, missing.told) if isinstance(missing, Missing) else ("", "")
            self._refuse(host, 0, Refusal.RULE, "dns", rule, told)

    def refuse_request(self, why: Refusal, told: str) -> None:
        """Log a request to the proxy that was not read to its end."""
        self._refuse(_PROXY, 0, why, "proxy", told=told)

    def _refuse(self, host: str, port: int, why: Refusal, way: str, rule: str = "", told: str = "") -> None:
        self._say(f"{host}:{port}", why)
        at = datetime.now(UTC)
        told = told or why.told
        self._ledger.add(
            Connection(self._run_id, host, port, None, at, 0.0, 0, 0, why, way=way, rule=rule, told=told)
        )

    def _say(self, where: str, why: Refusal) -> None:
        self._lines += 1
        if self._lines <= _LINES:
            _log.info("run=%s egress: %s refused: %s", self._run_id, where, why)
        if self._lines == _LINES:
            _log.info("run=%s egress: what is refused further is told by: hutch net log", self._run_id)


def _record(run_id: str, passage: Passage, started_at: datetime, duration_s: float) -> Connection:
    return Connection(
        run_id=run_id,
        host=passage.host,
        port=passage.port,
        address=str(passage.address) if passage.address else None,
        started_at=started_at,
        duration_s=duration_s,
        bytes_out=passage.bytes_out,
        bytes_in=passage.bytes_in,
        refused=passage.refused,
        way=passage.client.way,
        rule=str(passage.rule),
        told=passage.told or (passage.refused.told if passage.refused else ""),
        secrets=passage.secrets,
    )
