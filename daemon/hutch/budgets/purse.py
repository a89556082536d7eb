"""One run's money: every request to a model is judged here, every answer is put into the ledger from here."""

import logging
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from hutch.budgets.accounts import Account, Accounts, Key
from hutch.budgets.limits import ASKED, Limit, Most, Spent
from hutch.budgets.records import Others, Refused, Ticket, Told, Whose
from hutch.egress.meter import Prices, Used
from hutch.errors import HutchError, unwrapped
from hutch.state import Journal, UsageRow
from hutch.state.usage import pico_usd, today

MODELS = 32  # of one run that are told apart; their names are the answers' own
OTHERS = "(others)"
_ANY = Most()

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Purse:
    """Owned by the run's exchanges."""

    whose: Whose
    limits: tuple[Limit, ...]
    accounts: Accounts
    prices: Prices
    told: Told
    ledger: MemoryObjectSendStream[tuple[UsageRow, Ticket]] | None = None  # None: kept elsewhere
    so_far: Spent = field(default_factory=Spent)  # by whoever holds it
    others: Others | None = None  # where more bounds it than `limits`
    _held: dict[Key, Account] = field(default_factory=dict)
    _judged: list[tuple[Limit, Account]] = field(default_factory=list)  # of the day that it is
    _warned: set[Limit] = field(default_factory=set)
    _models: set[str] = field(default_factory=set)

    @property
    def is_bound(self) -> bool:
        """Whether there is any budget."""
        return bool(self.limits) or self.others is not None

    async def refuse_spent(self) -> None:
        """Raise HutchError `budget_spent` where not even a first request would be let through."""
        await self.look(today())
        for limit, account in self._judged:
            if spent := limit.reached(account.spent):
                later = " or wait for the next day, by UTC" if limit.per == "day" else ""
                raise HutchError(
                    "budget_spent",
                    f"{limit.whose} is spent: {spent}",
                    f"give it more: hutch resume {limit.of} --budget-usd X"
                    if limit.per == "group"
                    else f"ask the daemon's owner for more{later}",
                )

    async def admit(self, most: Most = _ANY, *, asks_model: bool = True) -> Ticket | Refused:
        """Judge one more request; wait while those in flight may use what is left.

        What is not known to ask a model is refused by the same rule, and ends no run.
        """
        await self.accounts.all_known()
        while True:
            day = today()
            await self.look(day)
            ticket = await self._ticket(day, most, asks_model=asks_model)
            if isinstance(ticket, Refused):
                if asks_model and ticket.pauses and await self.told.pause(ticket.why):
                    continue
                if asks_model:
                    self.told.spent(ticket.why)
            if ticket is not None:
                return ticket

    async def _ticket(self, day: str, most: Most, *, asks_model: bool) -> Ticket | Refused | None:
        """Judge a request by what is known now; None: those in flight have changed that meanwhile."""
        if refused := _refusal(self._judged):
            return refused
        if (busy := _busy(self._judged)) is not None:
            await busy.changed.wait()
            return None
        ticket = self.hold_back(day, most)
        if self.others is None:
            return ticket
        try:
            admitted = await self.others.admit(most, asks_model=asks_model)
        except BaseException:
            self.give_back(ticket)
            raise
        if isinstance(admitted, Refused):
            self.give_back(ticket)
            return admitted
        ticket.of_others = admitted
        return ticket

    def hold_back(self, day: str, most: Most) -> Ticket:
        """Take note of a request that is let through."""
        return Ticket(day, [(account, account.hold_back(most)) for account in self._accounts()])

    def give_back(self, ticket: Ticket) -> None:
        """Take note that a request was not sent on, or came to what is counted elsewhere."""
        for account, held in ticket.held:
            account.settle(held, None)

    def add(self, more: Limit) -> None:
        """Give the run's own budget more. Raises HutchError `budget_fixed` where it has none."""
        spent = next((account.spent for limit, account in self._judged if limit.name == ASKED), None)
        if spent is None:
            raise HutchError(
                "budget_fixed",
                f"run {self.whose.run_id} has no budget of its own that could be given more",
                "its group's: hutch resume GROUP; those of the configuration are the owner's to change",
            )
        self.limits = tuple(
            limit.more(spent, more) if limit.name == ASKED else limit for limit in self.limits
        )

    def bound_group(self, bound: Limit) -> None:
        """Put another bound on what a group may spend together, where this run is of it."""
        self.limits = tuple(
            replace(limit, usd=bound.usd, tokens=bound.tokens)
            if (limit.per, limit.of) == (bound.per, bound.of)
            else limit
            for limit in self.limits
        )

    def settle(self, ticket: Ticket, host: str, used: Used | None, least: Used | None = None) -> None:
        """Take note of an answer; `used` None: no model was at work; `least`: what it used at least."""
        if used is None:
            self.give_back(ticket)
            self.written(ticket)
            return
        cost = self.prices.cost_usd(used, host)
        charged = Spent(cost or Decimal(0), used.tokens, 1)
        if least is not None:  # an answer that does not say all must not be cheaper for that
            at_least = self.prices.cost_usd(least, host)
            charged = charged.most(Spent(at_least or Decimal(0), least.tokens))
            cost = None if at_least is None else cost
        self.so_far += charged
        unpriced = used.model if cost is None and used.model else ""
        for account, held in ticket.held:
            account.settle(held, charged, unpriced)
        if self.ledger is not None:
            self.ledger.send_nowait((self._row(ticket.day, host, used, cost, charged), ticket))
        self.warn()

    def written(self, ticket: Ticket) -> None:
        """Take note that what an answer used is in the ledger: others may count on it."""
        if self.others is not None and ticket.of_others is not None:
            self.others.settle(ticket.of_others)

    def pass_bytes(self, count: int) -> bool:
        """Take note of bytes to or from the network; whether no more may pass."""
        for account in self._accounts():
            account.spent += Spent(egress_bytes=count)
        self.warn()
        for limit, account in self._judged:
            if (
                limit.egress_bytes is not None
                and account.spent.egress_bytes + account.lent_bytes >= limit.egress_bytes
            ):
                self.told.spent(f"{limit.whose} is spent: {limit.reached(account.spent)}")
                return True
        return False

    @property
    def judged(self) -> Sequence[tuple[Limit, Account]]:
        """Each budget, and the account that it bounds."""
        return self._judged

    def state(self) -> list[dict[str, object]]:
        """Return each budget as it stands, for the run's record."""
        return [
            limit.state(account.spent) for limit, account in self._judged if any(limit.bounds(account.spent))
        ]

    def _row(self, day: str, host: str, used: Used, cost: Decimal | None, charged: Spent) -> UsageRow:
        model = used.model
        if model not in self._models:
            model = model if len(self._models) < MODELS else OTHERS
            self._models.add(model)
        return UsageRow(
            run_id=self.whose.run_id,
            day=day,
            host=host,
            model=model,
            session_id=self.whose.session_id,
            principal=self.whose.principal,
            requests=1,
            incomplete=int(not used.is_complete),
            unpriced=int(cost is None and bool(used.model)),
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cache_read_tokens=used.cache_read_tokens,
            cache_write_tokens=used.cache_write_tokens,
            cache_write_1h_tokens=used.cache_write_1h_tokens,
            web_searches=used.web_searches,
            cost_pico_usd=pico_usd(cost or Decimal(0)),
            charged_tokens=charged.tokens,
            charged_pico_usd=pico_usd(charged.usd),
        )

    def warn(self) -> bool:
        """Say once of each budget that it is nearly spent; whether there was one to tell of."""
        was_told = len(self._warned)
        for limit, account in self._judged:
            if limit not in self._warned and (near := limit.nearly(account.spent)):
                self._warned.add(limit)
                self.told.nearly(f"{limit.whose}: {near} are spent")
        return len(self._warned) > was_told

    async def look(self, day: str = "") -> None:
        """Have the accounts of a day at hand; unless given, of the day that it is."""
        day = day or today()
        for key in {self._key(limit, day) for limit in self.limits} - self._held.keys():
            self._held[key] = await self.accounts.account(key)
        self._judged = [(limit, self._held[self._key(limit, day)]) for limit in self.limits]

    def _accounts(self) -> list[Account]:
        """Return each account once, though several limits may bound it."""
        return list({id(account): account for _, account in self._judged}.values())

    def _key(self, limit: Limit, day: str) -> Key:
        whose = self.whose
        run = Key("run", whose.begun_by or whose.run_id)
        if limit.per == "group":
            return Key("group", limit.of)
        if limit.per == "run":
            return run
        if limit.per == "session":  # a run without one is a piece of work by itself
            return Key("session", whose.session_id) if whose.session_id else run
        return Key(limit.per, whose.principal, day if limit.per == "day" else "")


@asynccontextmanager
async def open_purse(
    state: Journal, accounts: Accounts, prices: Prices, whose: Whose, limits: Sequence[Limit], told: Told
) -> AsyncGenerator[Purse]:
    """Give a run its purse; what was used is in the ledger when the block has ended.

    Raises:
        HutchError: `budget_spent` where nothing is left to begin with, `state_failed`.
    """
    # one a request that was answered
    sender, rows = anyio.create_memory_object_stream[tuple[UsageRow, Ticket]](math.inf)
    purse = Purse(whose, tuple(limits), accounts, prices, told, sender)
    with unwrapped():
        async with anyio.create_task_group() as group:
            group.start_soon(_store, state, rows, purse)
            with sender:
                await purse.refuse_spent()
                yield purse


async def _store(
    state: Journal, rows: MemoryObjectReceiveStream[tuple[UsageRow, Ticket]], purse: Purse
) -> None:
    with anyio.CancelScope(shield=True), rows:  # what was used is written down also when the run is cut short
        async for row, ticket in rows:
            try:
                await state.add_usage(row)
            except HutchError as error:
                logger.warning("run=%s usage is not stored: %s: %s", row.run_id, error.message, row)
            purse.written(ticket)


def _refusal(judged: Sequence[tuple[Limit, Account]]) -> Refused | None:
    for limit, account in judged:
        if reached := limit.reached(account.spent):
            return Refused(f"{limit.whose} is spent: {reached}", limit.pauses)
        if limit.usd is not None and account.unpriced:
            model = min(account.unpriced)
            return Refused(
                f"{limit.whose} is in dollars, and nobody knows what model {model!r} costs; "
                f"the daemon's owner gives it a price under [prices.{model!r}]"
            )
    return None


def _busy(judged: Sequence[tuple[Limit, Account]]) -> Account | None:
    return next((account for limit, account in judged if not account.is_open_to_another(limit)), None)
