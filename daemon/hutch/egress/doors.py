"""The doors of one run, open as long as its block."""

import logging
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import anyio
from anyio.abc import TaskGroup

from hutch.egress.handover import listen, receive_listeners
from hutch.egress.ledger import FLUSH_S, Ledger, Log
from hutch.egress.passage import Ask, Passage, RefusedError, Resolver, ask_host
from hutch.egress.rules import Connection, Grant, Refusal, allot_doors
from hutch.egress.sockets import accept
from hutch_launchers.spec import Door, EgressEndpoint

CONNECTIONS = 128  # of one run at once; each costs two descriptors of the daemon
PAUSE_S = 0.05  # after every so many refusals: a flood must not become the event loop's only work
REFUSALS = 32

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_doors(
    grants: Sequence[Grant], run_id: str, folder: Path, log: Log, ask: Ask = ask_host
) -> AsyncGenerator[EgressEndpoint]:
    """Serve `grants` until the block ends; the package says what that means. `ask` resolves names."""
    doors = allot_doors(grants)
    granted = {(grant.host, grant.port): grant for grant in reversed(grants)}
    served = [(door, granted[door.name, door.port]) for door in doors]
    path = folder / "egress.sock"
    ledger = Ledger(run_id, log)
    serving = _Doors(run_id, ledger, Resolver(ask))
    failure: Exception | None = None
    try:
        with listen(path) as listener:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serving.serve, listener, served)
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


class _Doors:
    def __init__(self, run_id: str, ledger: Ledger, resolver: Resolver) -> None:
        self._run_id = run_id
        self._ledger = ledger
        self._resolver = resolver
        self._open = 0

    async def serve(self, listener: socket.socket, doors: list[tuple[Door, Grant]]) -> None:
        listeners = await receive_listeners(listener, [door for door, _ in doors])
        listener.close()  # nobody else has a reason to come
        with ExitStack() as held:
            for sock in listeners:
                held.enter_context(sock)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._flush)
                for sock, (_, grant) in zip(listeners, doors, strict=True):
                    tasks.start_soon(self._serve_door, sock, grant, tasks)

    async def _serve_door(self, listener: socket.socket, grant: Grant, tasks: TaskGroup) -> None:
        refusals = 0
        while True:
            try:
                client = await accept(listener)
            except OSError as error:  # the daemon has no descriptors left
                _log.warning("run=%s egress: no connection to %s is accepted: %s", self._run_id, grant, error)
                await anyio.sleep(PAUSE_S)
                continue
            if self._open < CONNECTIONS:
                self._open += 1
                tasks.start_soon(self._pass, client, grant)
                continue
            client.close()
            self._ledger.refuse(grant, Refusal.TOO_MANY, datetime.now(UTC))
            refusals += 1
            if refusals % REFUSALS == 0:
                await anyio.sleep(PAUSE_S)

    async def _pass(self, client: socket.socket, grant: Grant) -> None:
        started_at, start, refused = datetime.now(UTC), monotonic(), None
        passage = Passage(grant, client, self._resolver)
        try:
            with client:
                await passage.run()
        except RefusedError as error:
            refused = error.why
            _log.info("run=%s egress: %s refused: %s", self._run_id, grant, refused)
        finally:
            self._open -= 1
            self._ledger.add(
                Connection(
                    run_id=self._run_id,
                    host=grant.host,
                    port=grant.port,
                    address=str(passage.address) if passage.address else None,
                    started_at=started_at,
                    duration_s=monotonic() - start,
                    bytes_out=passage.bytes_out,
                    bytes_in=passage.bytes_in,
                    refused=refused,
                )
            )

    async def _flush(self) -> None:
        while True:
            await anyio.sleep(FLUSH_S)
            self._ledger.flush()
