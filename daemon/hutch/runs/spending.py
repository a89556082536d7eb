"""A run's purse: opened where something of its network is metered, and what follows when it is empty."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from hutch.budgets import ASKED, Limit, Meter, Purse, Told, Whose, open_purse
from hutch.egress import InForce, Network
from hutch.egress.exchange import Step
from hutch.errors import HutchError, unwrapped
from hutch.runs.live import LiveRun
from hutch.runs.rooms import Rooms
from hutch.supervisor import Ended

PATIENCE_S = 5.0  # for what was refused another answer to end by itself, and to write down what it has
GRACE_S = 5.0  # then, to end when it is asked to

logger = logging.getLogger(__name__)


@asynccontextmanager
async def metering(
    rooms: Rooms,
    network: InForce,
    limits: Sequence[Limit],
    whose: Whose,
    runs: Callable[[], Sequence[LiveRun]],
) -> AsyncGenerator[Purse | None]:
    """Meter what a sandbox asks models and what passes to its network; `runs` are those that are in it.

    Raises HutchError `budget_spent`.
    """
    counts_bytes = any(limit.egress_bytes for limit in limits)
    if not network.network.metered and not counts_bytes:
        yield None
        return
    watch = _Watch(whose.run_id, runs)
    told = Told(watch.nearly, watch.spent)
    with unwrapped():
        async with (
            open_purse(rooms.state, rooms.accounts, rooms.prices, whose, limits, told) as purse,
            anyio.create_task_group() as group,
        ):
            if counts_bytes:
                network.also_spend = purse.pass_bytes
            group.start_soon(watch.end)
            yield purse
            group.cancel_scope.cancel()


@dataclass(slots=True)
class _Watch:
    """Tells the runs of a sandbox how their budgets stand, and ends those that are over one."""

    run_id: str
    runs: Callable[[], Sequence[LiveRun]]
    _empty: anyio.Event = field(default_factory=anyio.Event)

    def nearly(self, said: str) -> None:
        logger.warning("run=%s %s", self.run_id, said)
        for live in self.runs():
            live.say(said)

    def spent(self, said: str) -> None:
        for live in self.runs():
            if not live.over_budget:
                logger.warning("run=%s it is over its budget: %s", live.id, said)
            live.over_budget = live.over_budget or said
            live.say(said)
        self._empty.set()

    async def end(self) -> None:
        while True:
            await self._empty.wait()
            self._empty = anyio.Event()
            await anyio.sleep(PATIENCE_S)
            for live in self.runs():
                if live.over_budget:
                    live.stop.ask(live.over_budget, GRACE_S, "budget")


def steps_of(purse: Purse | None, network: Network) -> Sequence[Step]:
    """Return what is done to a sandbox's exchanges."""
    return [Meter(purse, network.metered)] if purse and network.metered else []


def over_budget(ended: Ended, live: LiveRun) -> Ended:
    """Return how it ended: what was refused an answer of a model ended for that, whatever it made of it."""
    if live.over_budget and ended.outcome in ("exited", "killed"):
        return replace(ended, outcome="budget", reason=live.over_budget)
    if live.time_budget and ended.outcome == "timed_out":
        return replace(ended, outcome="budget", reason=live.time_budget)
    return ended


def refuse_unmetered(limits: Sequence[Limit], method: str) -> None:
    """Refuse budgets where nothing passes through us, but for dollars that the agent watches itself.

    Raises HutchError `budget_unmetered`.
    """
    for limit in limits:
        counted = replace(limit, minutes=None, usd=None if limit.name == ASKED else limit.usd)
        if counted.is_empty:
            continue
        raise HutchError(
            "budget_unmetered",
            f"{limit.whose} cannot be held: method {method} does not let us see what is asked of models",
            "use another method; see: hutch doctor",
        )
