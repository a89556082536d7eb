"""The egress itself, for the contract's suite: ways out to the world that the suite makes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from hutch.config import parse
from hutch.egress import InForce, Requests, Resolver, carrying, open_ways, proxy_variables, union
from hutch.egress.exchange import Exchanges
from hutch_launchers.contract.outside import Outside, WaysOut

_NAME = "contract"


@asynccontextmanager
async def ways_out(world: Outside, folder: Path) -> AsyncGenerator[WaysOut]:
    """Serve what the suite grants, as a run's would be."""
    configured = parse(f"[network.{_NAME}]\n{world.network}", {"HOME": str(folder)}).networks
    network = union([_NAME], configured)
    force = InForce(network)
    carry = carrying(Exchanges(_NAME, [Requests(force)]))
    resolver = Resolver(world.resolve, world.dial)
    async with open_ways(force, _NAME, folder, lambda _: None, carry, resolver) as endpoint:
        yield WaysOut(endpoint, proxy_variables(network))
