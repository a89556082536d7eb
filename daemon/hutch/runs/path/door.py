"""The door of a run's egress that stands for the daemon: where it leads, and what it adds to requests.

Inside there is a name, and nothing to authenticate with: the door puts the run's token into each request,
outside the sandbox, in place of whatever is there. So nobody else has it, and no other token counts here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hutch.agents import McpServer
from hutch.destinations import SANDBOXES_HOST, read_pattern
from hutch.egress import Network, Rule
from hutch.egress.exchange import Answer, Exchange, Request, Step
from hutch.egress.exchange.steps import without
from hutch.errors import HutchError
from hutch.policy import Plan
from hutch.runs.path.live import LiveRun
from hutch.runs.path.spending import steps_of as metering_steps
from hutch.runs.rooms import PathRooms
from hutch_launchers.launcher import AgentLauncher

_SERVER = "hutch"  # of MCP, as agents know it
_HOST = SANDBOXES_HOST
_PATH = "/mcp"
_URL = f"http://{_HOST}{_PATH}"
_CREDENTIALS = (b"authorization", b"proxy-authorization", b"cookie")


class Door:
    """The step of an exchange with the daemon."""

    hosts = (f"http://{_HOST}",)

    def __init__(self, token: str) -> None:
        self._token = token

    async def begin(self, request: Request) -> Exchange | Answer:
        if request.host != _HOST:
            return Exchange(request)
        if request.path != _PATH:
            return Answer(403, b"", why=f"there is nothing here but {_URL}")
        asked = replace(request, headers=without(request.headers, *_CREDENTIALS))
        return Exchange(asked.with_header(b"authorization", f"Bearer {self._token}".encode()))


def steps_of(live: LiveRun, network: Network) -> Sequence[Step]:
    """Return what is done to a run's exchanges before its secrets are put in: its meter, its door to us."""
    door = [Door(live.door_token)] if live.door_token else []
    return [*metering_steps(live.purse, network), *door]


def with_door(rooms: PathRooms, plan: Plan, children: int) -> Plan:
    """Let what is in a run's sandbox use us. Raises HutchError `turn_invalid` where that cannot be."""
    if not rooms.has_daemon:
        raise HutchError(
            "turn_invalid", "an agent cannot use Hutch where no daemon runs", "leave out --hutch"
        )
    if isinstance(rooms.launchers[plan.method], AgentLauncher):
        raise HutchError(
            "turn_invalid",
            f"an agent cannot use Hutch by method {plan.method}, which holds no network",
            "choose a method that makes a sandbox",
        )
    network = reaching(plan.network, rooms.config.daemon.socket)
    told = [*_listed(plan.granted.get("network")), f"{_HOST}: Hutch itself, as far as this run goes"]
    return replace(plan, network=network, granted={**plan.granted, "network": told}, children=children)


def reaching(network: Network, socket: Path) -> Network:
    """Return the network with a door to the daemon at `socket`."""
    rule = Rule(read_pattern(f"{_HOST}:80"), "hutch", is_host_service=True, socket=socket)
    return replace(network, allow=(rule, *network.allow))


def servers_of(plan: Plan, asked: Mapping[str, McpServer]) -> Mapping[str, McpServer]:
    """Return the servers of MCP of a turn. Raises HutchError `turn_invalid`."""
    if not plan.children:
        return asked
    if _SERVER in asked:
        raise HutchError(
            "turn_invalid", f"two MCP servers would be called {_SERVER!r}", "call yours otherwise"
        )
    return {**asked, _SERVER: McpServer(url=_URL)}


def _listed(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else []
