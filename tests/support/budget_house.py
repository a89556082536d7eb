"""Budgets over real exchanges: a daemon's accounts, a run's meter, and a model on loopback."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import anyio

from hutch.budgets import Accounts, Limit, Meter, Purse, open_purse
from hutch.budgets.records import Told, Whose
from hutch.egress.meter import Price, Prices
from hutch.origins import read_origin
from hutch.state import State, UsageRow
from support.exchange_world import HOST, Server, World, world
from support.processes import free_port

CENT = Decimal("0.01")
PRICES = Prices({"model": Price(Decimal(10), Decimal(10))})  # of 1000 tokens: one cent
USAGE = {"input_tokens": 900, "output_tokens": 100}
MESSAGE = json.dumps({"type": "message", "model": "model", "usage": USAGE}).encode()
ASK = b"POST /v1/messages HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class House:
    """A daemon's state and accounts, and what its runs were told."""

    state: State
    accounts: Accounts
    nearly: list[str] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    goes_on: anyio.Event | None = None  # set: so that what is paused may go on; None: nothing can be paused

    async def pause(self, why: str) -> bool:
        self.paused.append(why)
        if self.goes_on is None:
            return False
        await self.goes_on.wait()
        return True

    @asynccontextmanager
    async def run(
        self, *limits: Limit, run_id: str = "r-1", session_id: str | None = None, principal: str = "owner"
    ) -> AsyncIterator[Purse]:
        whose = Whose(run_id, session_id, principal)
        told = Told(self.nearly.append, self.spent.append, self.pause)
        async with open_purse(self.state, self.accounts, PRICES, whose, limits, told) as purse:
            yield purse

    @asynccontextmanager
    async def asking(self, server: Server, *limits: Limit, **whose: str) -> AsyncIterator[World]:
        async with self.run(*limits, **whose) as purse, metered(server, purse) as here:
            yield here

    async def rows(self, run_id: str = "r-1") -> list[UsageRow]:
        return await self.state.usage(run_id=run_id)


@asynccontextmanager
async def metered(server: Server, purse: Purse) -> AsyncIterator[World]:
    port = free_port()
    async with world(server, [Meter(purse, [read_origin(f"{HOST}:{port}")])], port=port) as here:
        yield here


def usd(amount: str, **said: object) -> Limit:
    return Limit("asked", "run", usd=Decimal(amount), **said)  # type: ignore[arg-type]


async def statuses(here: World, count: int, ask: bytes = ASK) -> list[int]:
    return [status(await here.ask(ask)) for _ in range(count)]


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+)", answer)
    assert found, answer
    return int(found[1])
