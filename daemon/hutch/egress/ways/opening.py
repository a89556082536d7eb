"""The ways out of one run, open as long as their block."""

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import anyio

from hutch.egress.in_force import InForce
from hutch.egress.ledger import FLUSH_S, Ledger, Log
from hutch.egress.passage import Carry, Client
from hutch.egress.resolver import Resolver
from hutch.egress.sockets import dialled
from hutch.egress.tunnel import tunnel
from hutch.egress.ways.dns import NameServer
from hutch.egress.ways.doors import RESOLVER, Layout, lay_out
from hutch.egress.ways.handover import listen, receive_listeners
from hutch.egress.ways.names import Names
from hutch.egress.ways.proxy import Proxy
from hutch.egress.ways.serving import Serving
from hutch_launchers.spec import EgressEndpoint

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_ways(
    network: InForce,
    run_id: str,
    folder: Path,
    log: Log,
    carry: Carry = tunnel,
    resolver: Resolver | None = None,
) -> AsyncGenerator[EgressEndpoint]:
    """Serve what `network` allows until the block ends; the package says what that means.

    `carry` takes every connection that was judged; `resolver` knows where names are: where
    none is given, as the host does.
    """
    layout = lay_out(network.network)
    path = folder / "egress.sock"
    ledger = Ledger(run_id, log)
    names = Names(network, layout.doors)
    serving = Serving(run_id, network, names, ledger, resolver or Resolver(), carry)
    failure: Exception | None = None
    try:
        with listen(path) as listener:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_serve, listener, layout, names, serving, ledger)
                network.is_served = True
                try:
                    yield EgressEndpoint(path, layout.doors, layout.made, RESOLVER)
                except Exception as error:  # noqa: BLE001 - raised again below, as itself and not in a group
                    failure = error
                tasks.cancel_scope.cancel()
    finally:
        network.is_served = False
        path.unlink(missing_ok=True)
        ledger.flush()
    if failure is not None:
        raise failure


async def _serve(
    listener: socket.socket, layout: Layout, names: Names, serving: Serving, ledger: Ledger
) -> None:
    received = await receive_listeners(listener, layout.made)
    listener.close()  # nobody else has a reason to come
    name_server = NameServer(names, serving.refuse_name)
    proxy = Proxy(serving.ask, serving.refuse_request)

    async def door(client: socket.socket) -> None:
        await serving.ask(Client(client), *dialled(client))

    with ExitStack() as held:
        for sock in received:
            held.enter_context(sock)
        questions, name_server_tcp, proxy_tcp, *doors = received
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_flush, ledger)
            tasks.start_soon(name_server.serve_udp, questions)
            tasks.start_soon(serving.accept, name_server_tcp, name_server.serve_tcp)
            tasks.start_soon(serving.accept, proxy_tcp, proxy.serve)
            for sock in doors:
                tasks.start_soon(serving.accept, sock, door)


async def _flush(ledger: Ledger) -> None:
    while True:
        await anyio.sleep(FLUSH_S)
        ledger.flush()
