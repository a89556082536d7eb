"""The ways out of one run, open as long as their block: who comes is named, judged, and then carried."""

import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import anyio
from anyio.abc import TaskGroup

from hutch.egress.in_force import InForce
from hutch.egress.ledger import FLUSH_S, Ledger, Log
from hutch.egress.passage import Carry, Client, Passage, RefusedError
from hutch.egress.records import Connection, Refusal
from hutch.egress.resolver import Ask, Resolver, ask_host
from hutch.egress.rules import Missing
from hutch.egress.sockets import accept
from hutch.egress.tunnel import tunnel
from hutch.egress.ways.doors import allot_doors
from hutch.egress.ways.handover import listen, receive_listeners
from hutch_launchers.spec import Door, EgressEndpoint

CONNECTIONS = 128  # of one run at once; each costs two descriptors of the daemon
PAUSE_S = 0.05  # after every so many refusals: a flood must not become the event loop's only work
REFUSALS = 32

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_ways(
    network: InForce, run_id: str, folder: Path, log: Log, carry: Carry = tunnel, ask: Ask = ask_host
) -> AsyncGenerator[EgressEndpoint]:
    """Serve what `network` allows until the block ends; the package says what that means.

    `carry` takes every connection that was judged; `ask` resolves names.
    """
    doors = allot_doors(network.network)
    path = folder / "egress.sock"
    ledger = Ledger(run_id, log)
    ways = _Ways(run_id, network, ledger, Resolver(ask), carry)
    failure: Exception | None = None
    try:
        with listen(path) as listener:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ways.serve, listener, doors)
                try:
                    yield EgressEndpoint(path, doors)
                except Exception as error:  # noqa: BLE001 - raised again below, as itself and not in a group
                    failure = error
                tasks.cancel_scope.cancel()
    finally:
        path.unlink(missing_ok=True)
        ledger.flush()
    if failure is not None:
        raise failure


class _Ways:
    def __init__(
        self, run_id: str, network: InForce, ledger: Ledger, resolver: Resolver, carry: Carry
    ) -> None:
        self._run_id = run_id
        self._network = network
        self._ledger = ledger
        self._resolver = resolver
        self._carry = carry
        self._open = 0

    async def serve(self, listener: socket.socket, doors: tuple[Door, ...]) -> None:
        listeners = await receive_listeners(listener, doors)
        listener.close()  # nobody else has a reason to come
        with ExitStack() as held:
            for sock in listeners:
                held.enter_context(sock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._flush)
                for sock, door in zip(listeners, doors, strict=True):
                    tasks.start_soon(self._accept, sock, self._door(door), tasks)

    def _door(self, door: Door) -> Callable[[socket.socket], Awaitable[None]]:
        async def serve(client: socket.socket) -> None:
            await self.pass_on(Client(client), door.name, door.port)

        return serve

    async def _accept(
        self, listener: socket.socket, serve: Callable[[socket.socket], Awaitable[None]], tasks: TaskGroup
    ) -> None:
        """Take whoever comes, as many at once as a run may have."""
        refusals = 0
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
            self._refuse(address, port, Refusal.TOO_MANY)
            refusals += 1
            if refusals % REFUSALS == 0:
                await anyio.sleep(PAUSE_S)

    async def _serve(self, serve: Callable[[socket.socket], Awaitable[None]], client: socket.socket) -> None:
        try:
            with client:
                await serve(client)
        finally:
            self._open -= 1

    async def pass_on(self, client: Client, host: str, port: int) -> None:
        """Judge what a client asks for, and carry it to its end or tell it why not."""
        judged = self._network.judge(host, port)
        if isinstance(judged, Missing):
            self._refuse(host, port, Refusal.RULE, judged)
            with suppress(OSError):
                await client.refused(Refusal.RULE, judged.told)
            return
        started_at, start = datetime.now(UTC), monotonic()
        passage = Passage(client, host, port, judged, self._network, self._resolver)
        try:
            await passage.run(self._carry)
        except RefusedError as error:
            passage.refused = error.why
            _log.info("run=%s egress: %s:%d refused: %s", self._run_id, host, port, error.why)
            with suppress(OSError):
                await client.refused(error.why, f"{host}:{port}: {error.why.told}")
        finally:
            self._ledger.add(_record(self._run_id, passage, started_at, monotonic() - start))

    def _refuse(self, host: str, port: int, why: Refusal, missing: Missing | None = None) -> None:
        _log.info("run=%s egress: %s:%d refused: %s", self._run_id, host, port, why)
        rule, told = (missing.rule, missing.told) if missing else ("", why.told)
        at = datetime.now(UTC)
        self._ledger.add(Connection(self._run_id, host, port, None, at, 0.0, 0, 0, why, rule=rule, told=told))

    async def _flush(self) -> None:
        while True:
            await anyio.sleep(FLUSH_S)
            self._ledger.flush()


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
        rule=str(passage.rule),
        told=passage.told or (passage.refused.told if passage.refused else ""),
    )
