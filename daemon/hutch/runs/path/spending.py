"""A run's purse: opened where something of its network is metered, and what follows when it is empty."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

import anyio

from hutch.budgets import ASKED, Lent, Limit, Meter, Purse, Told, Whose, open_purse
from hutch.egress import InForce, Network
from hutch.egress.exchange import Step
from hutch.errors import HutchError, unwrapped
from hutch.runs.path.live import LiveRun
from hutch.runs.path.suspending import hold
from hutch.runs.rooms import PathRooms
from hutch.state import Journal
from hutch.supervisor import Ended, Standstill
from hutch_mcp_tools.usage_records import Budget

PATIENCE_S = 5.0  # for what was refused another answer to end by itself, and to write down what it has
GRACE_S = 5.0  # then, to end when it is asked to

Hold = Callable[[], Awaitable[Standstill]]

logger = logging.getLogger(__name__)


def metering_of(
    rooms: PathRooms, live: LiveRun, limits: Sequence[Limit]
) -> AbstractAsyncContextManager[Purse | None]:
    """Meter a run in a sandbox of its own. Raises HutchError `budget_spent`."""
    bearer, begun_by = live.parent or live, live.parent.id if live.parent else ""
    whose = Whose(live.id, bearer.record.session_id, bearer.record.principal, begun_by)
    return metering(rooms, live.network, limits, whose, lambda: [live], partial(hold, rooms, live))


@asynccontextmanager
async def metering(
    rooms: PathRooms,
    network: InForce,
    limits: Sequence[Limit],
    whose: Whose,
    runs: Callable[[], Sequence[LiveRun]],
    hold: Hold,
) -> AsyncGenerator[Purse | None]:
    """Meter what a sandbox asks models and what passes to its network; `runs` are those that are in it.

    `hold` holds it still, and raises HutchError where that cannot be. Raises HutchError `budget_spent`.
    """
    shared = [limit for limit in limits if rooms.others is not None and rooms.others.judges(limit)]
    limits = [limit for limit in limits if limit not in shared]
    counts_bytes = any(limit.egress_bytes for limit in limits)
    borrows_bytes = any(limit.egress_bytes for limit in shared)
    if not network.network.metered and not counts_bytes and not borrows_bytes:
        yield None
        return
    watch = _Watch(whose.run_id, runs, hold, rooms.state)
    told = Told(watch.nearly, watch.spent, watch.pause)
    with unwrapped():
        async with (
            open_purse(rooms.state, rooms.accounts, rooms.prices, whose, limits, told) as purse,
            anyio.create_task_group() as group,
        ):
            if shared and rooms.others is not None:
                await rooms.others.refuse_spent()
                purse.others = rooms.others
            if counts_bytes:
                network.also_spend = purse.pass_bytes
            if borrows_bytes and rooms.others is not None:
                _borrow(network, Lent(rooms.others.lend, watch.spent))
            group.start_soon(watch.end)
            group.start_soon(watch.write_down)
            yield purse
            group.cancel_scope.cancel()


def _borrow(network: InForce, lent: Lent) -> None:
    """Have no bytes pass that are not lent, beside what the run's own budgets say."""
    counted = network.also_spend

    def spend(count: int) -> bool:
        lent.pass_bytes(count)
        return counted is not None and counted(count)

    network.also_spend, network.also_waits = spend, lent.is_over


@dataclass(slots=True)
class _Watch:
    """Tells the runs of a sandbox how their budgets stand, and ends those that are over one."""

    run_id: str
    runs: Callable[[], Sequence[LiveRun]]
    hold: Hold
    journal: Journal
    _empty: anyio.Event = field(default_factory=anyio.Event)
    _news: anyio.Event = field(default_factory=anyio.Event)

    def nearly(self, said: str) -> None:
        logger.warning("run=%s %s", self.run_id, said)
        for live in self.runs():
            live.say(said)
        self._news.set()

    def spent(self, said: str) -> None:
        for live in self.runs():
            if not live.over_budget:
                logger.warning("run=%s it is over its budget: %s", live.id, said)
            live.over_budget = live.over_budget or said
            live.say(said)
        self._empty.set()
        self._news.set()

    async def pause(self, said: str) -> bool:
        """Hold the sandbox still until somebody lets it go on; False: it is to end instead."""
        if any(live.stop.is_asked for live in self.runs()):
            return False
        try:
            standstill = await self.hold()
        except HutchError as error:
            logger.warning("run=%s cannot be paused: %s", self.run_id, error.message)
            return False
        logger.warning("run=%s is paused: %s", self.run_id, said)
        for live in self.runs():
            live.say(f"paused: {said}; let it go on with: hutch resume {self.run_id}")
        await standstill.until_over()
        return True

    async def write_down(self) -> None:
        """Have records say at once that a budget is spent, or nearly: alerts are read off them."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            for live in self.runs():
                try:
                    await self.journal.put_run(live.change(**live.spent()))
                except HutchError as error:
                    logger.warning("run=%s its budgets are not stored: %s", live.id, error.message)

    async def end(self) -> None:
        """End what is over a budget, again and again: a kept sandbox has other runs after them."""
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


def give(purse: Purse | None, budget: Budget | None) -> None:
    """Give a run more money. Raises HutchError `budget_fixed`."""
    if budget is None or budget == Budget():
        return
    if purse is None:
        raise HutchError("budget_fixed", "nothing that it asks is metered", "see: hutch show ID")
    usd = Decimal(str(budget.budget_usd)) if budget.budget_usd else None
    purse.add(Limit(ASKED, "run", usd, budget.budget_tokens, budget.budget_requests))


async def give_more(live: LiveRun, budget: Budget | None) -> None:
    """The same for a run, whoever takes it. Raises HutchError `budget_fixed`."""
    if live.remote is None:
        give(live.purse, budget)
    elif budget is not None and budget != Budget():
        await live.remote.give(budget)


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
