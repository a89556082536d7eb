"""The composition root: configuration -> rooms -> one process that serves. Only here the rooms meet."""

import json
import logging
import os
import signal
import socket
from collections import ChainMap
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from hutch import __version__
from hutch.access import Access, Principals
from hutch.agents import find_agent
from hutch.alerts import alerting
from hutch.budgets import Accounts, Others, prices_of
from hutch.client import config_state, connect, daemon_file, token_path
from hutch.config import Config, own_folder
from hutch.deadlines import Deadlines, let_keeper_go
from hutch.errors import HutchError, unwrapped
from hutch.runs.commands.kept_sessions import KeptSessions
from hutch.runs.gate.clients import Clients
from hutch.runs.gate.gate import gate
from hutch.runs.groups.keeping import Keeping
from hutch.runs.rooms import PathRooms, Rooms
from hutch.runs.runners.runners import Runners, RunnerServer
from hutch.runs.runs import Runs
from hutch.runs.service.service import Service
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.runs.upkeep.doctor import examine
from hutch.runs.upkeep.housekeeping import keep_house
from hutch.runs.upkeep.recovery import recover, recover_rest
from hutch.runs.upkeep.storage import open_volumes
from hutch.state import Journal
from hutch.state.store import open_state
from hutch.volumes import ProvenStore, Volumes
from hutch.web import systemd
from hutch.web.application import build_app
from hutch.web.host import bearer_token, log_to_stderr, only_one, private_folder, raise_open_files
from hutch.web.listeners import listeners, url_of
from hutch.web.mcp_servers import McpServers
from hutch.web.server import Server, http_config
from hutch.workspaces import Placeholders
from hutch.workspaces.review.reviews import Reviews
from hutch.workspaces.worktrees import Worktrees
from hutch_launchers.launcher import Launcher
from hutch_launchers.registry import OptionError, build_launcher
from hutch_mcp_tools.server import build_server
from hutch_mcp_tools.service import SandboxService

logger = logging.getLogger(__name__)

_STATE_BYTES = 4 << 20  # the database opens with less; on a full disk a cached volume makes way for it
_KEEPER = "keeper"  # in the state's folder
_SHELLS = ("/bin/bash", "/bin/sh")


async def serve(config: Config, server: RunnerServer | None = None) -> None:
    """Be the daemon until SIGINT or SIGTERM; then end every run, commit its volumes, and return.

    Turns of agents are taken by processes that `server` starts, and outlive us.

    Raises:
        HutchError: `daemon_running`, `listen_failed`, `listen_refused`, and what an unusable folder gives.
    """
    log_to_stderr(config.daemon.log_level)
    raise_open_files()
    with only_one(config.daemon.state), listeners(config) as sockets:
        async with open_rooms(config) as rooms:
            with unwrapped():
                async with anyio.create_task_group() as tasks:
                    await _serve(rooms, sockets, Runs(rooms, tasks), server)
                    tasks.cancel_scope.cancel()


async def serve_stdio(config: Config, token: str | None) -> None:
    """Be an MCP server on stdin and stdout: a client of the daemon, which is started when none runs.

    It acts as the owner, or as whoever `token` is of.
    """
    async with connect(config, start=True, revive=True, token=token) as service:
        await build_server(service, version=__version__).run_stdio_async()


async def diagnose(config: Config, *, fresh: bool = False) -> dict[str, Any]:
    """Examine this host without a daemon."""
    async with open_rooms(config) as rooms:
        return await examine(rooms, fresh=fresh)


@asynccontextmanager
async def open_rooms(config: Config) -> AsyncGenerator[Rooms]:
    """Open the state and put the daemon's rooms together."""
    async with open_volumes(config) as (store, volumes):
        await volumes.make_room(_STATE_BYTES)
        database = open_state(config.daemon.state / "state.db")
        deadlines = Deadlines(config.methods, config.daemon.state / _KEEPER)
        async with database as state, alerting(config.alerts) as state.watch, aclosing(deadlines):
            parts = _parts(config, store, volumes, state, deadlines)
            yield Rooms(**parts, logs=config.daemon.state / "runs", access=Access(config, state))


@asynccontextmanager
async def open_path(
    config: Config,
    journal: Journal,
    access: Principals,
    logs: Path,
    keeper: Path,
    others: Others | None = None,
) -> AsyncGenerator[PathRooms]:
    """Put together what one run needs in a process of its own.

    If we are killed, its deadline is kept for it by a process that listens at `keeper`. `others` knows what
    is spent of budgets that other runs share.
    """
    deadlines = Deadlines(config.methods, keeper)
    async with open_volumes(config) as (store, volumes), aclosing(deadlines):
        parts = _parts(config, store, volumes, journal, deadlines)
        yield PathRooms(**parts, logs=logs, access=access, others=others)


def _parts(
    config: Config, store: ProvenStore, volumes: Volumes, state: Journal, deadlines: Deadlines
) -> dict[str, Any]:
    """What the rooms of the daemon and those of one run have in common."""
    folder, prices = config.daemon.state, prices_of(config)
    return {
        "config": config,
        "launchers": launchers_of(config),
        "store": store,
        "volumes": volumes,
        "state": state,
        "prices": prices,
        "accounts": Accounts(state, prices),
        "agents": {name: partial(find_agent, name, said) for name, said in config.agents.items()},
        "private": private_folder(config),
        "deadlines": deadlines,
        "placeholders": Placeholders(folder / "workspaces", config.policy.roots),
        "reviews": Reviews(folder / "reviews", config.policy.roots, config.policy.reviews_max_bytes),
        "worktrees": Worktrees(folder / "worktrees", config.policy.roots),
        "shell": next(shell for shell in _SHELLS if Path(shell).exists()),
    }


async def _serve(rooms: Rooms, sockets: list[socket.socket], runs: Runs, server: RunnerServer | None) -> None:
    is_whole = await recover(rooms)
    let_keeper_go(rooms.config.daemon.state / _KEEPER)
    clients = Clients(runs)
    runners = Runners(runs, clients, server) if server else None
    agents, kept = AgentSessions(runs, clients, runners), KeptSessions(runs)
    keeping = Keeping(rooms, agents)
    services = _services(rooms, clients, partial(Service, runs, agents, kept, keeping))
    if runners:
        await runners.adopt()
    await agents.turns.go_on()
    mcp = McpServers(services, clients.services, version=__version__)
    clients.on_end = mcp.forget
    leave = partial(_leave, runs, kept)
    app = build_app(services, runs, clients, bearer_token(token_path(rooms.config)), mcp, lambda: leave(http))
    http = Server(http_config(app), partial(_announce, rooms.config, url_of(sockets)))
    async with mcp.running(), anyio.create_task_group() as helpers:
        helpers.start_soon(_warm_up, rooms.launchers)
        helpers.start_soon(rooms.volumes.tend_cache)
        helpers.start_soon(keep_house, rooms)
        helpers.start_soon(keeping.recover)
        if not is_whole:
            helpers.start_soon(recover_rest, rooms)
        helpers.start_soon(systemd.keep_alive)
        helpers.start_soon(_end_on_signal, http, runs, kept)
        try:
            await http.serve(sockets)
        finally:
            daemon_file(rooms.config).unlink(missing_ok=True)  # its URL may be another's by tomorrow
        helpers.cancel_scope.cancel()


def _services(
    rooms: Rooms, clients: Clients, service: Callable[[str], SandboxService]
) -> Mapping[str, SandboxService]:
    """Return to each caller the service as it may use it: to principals, and to agents in our sandboxes."""
    clients.whole = {name: service(name) for name in rooms.access.principals}
    gated = {name: gate(whole, rooms.access, name) for name, whole in clients.whole.items()}
    return ChainMap(gated, clients.services)


async def _end_on_signal(http: Server, runs: Runs, kept: KeptSessions) -> None:
    """At the first signal end the work and then the server, so that whoever waits gets an answer."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if runs.is_closing:
                logger.warning("second %s: leaving at once", number.name)
                http.force_exit = True
                break
            logger.info("%s: ending every run", number.name)
            _leave(runs, kept, http)
    http.should_exit = True


def _leave(runs: Runs, kept: KeptSessions, http: Server) -> None:
    """Begin to end; a second call changes nothing."""
    if not runs.is_closing:
        systemd.notify("STOPPING=1")
        runs.closing.set()
        runs.tasks.start_soon(_end_work, http, runs, kept)


async def _end_work(http: Server, runs: Runs, kept: KeptSessions) -> None:
    await runs.close(runs.rooms.config.daemon.stop_grace_s)
    await kept.close()
    http.should_exit = True


async def _warm_up(launchers: Mapping[str, Launcher]) -> None:
    """Measure every method now, so that no first run waits for it."""
    for launcher in launchers.values():
        probe = await launcher.probe()
        logger.info("method=%s available=%s %s", probe.method, probe.available, probe.reason)


def _announce(config: Config, url: str | None) -> None:
    document = {"url": url, "pid": os.getpid(), "version": __version__, "config": config_state(config)}
    daemon_file(config).write_text(json.dumps(document), encoding="utf-8")
    systemd.notify("READY=1")
    logger.info("hutch %s serves %s/mcp and %s", __version__, url, config.daemon.socket)


def launchers_of(config: Config) -> dict[str, Launcher]:
    """Make the methods of the configuration. Raises HutchError `config_invalid`."""
    cache = own_folder(config.daemon.cache) / "probes"
    cache.mkdir(exist_ok=True, mode=0o700)
    launchers = {}
    for name, method in config.methods.items():
        options = {**method.options, "name": name, "probe_cache": cache / f"{name}.json"}
        try:
            if reserved := {"name", "probe_cache"} & method.options.keys():
                raise OptionError(f"{', '.join(sorted(reserved))} cannot be set")
            launchers[name] = build_launcher(method.kind, options)
        except OptionError as error:
            raise HutchError(
                "config_invalid", f"methods.{name}: {error}", "see: docs/configuration.md"
            ) from error
    return launchers
