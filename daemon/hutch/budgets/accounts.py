"""What was spent per run, session, day and principal, by every run that shares it."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import anyio

from hutch.budgets.limits import Limit, Most, Scope, Spent
from hutch.egress.meter import Prices, Used
from hutch.state import Journal, UsageRow
from hutch.state.usage import today, yesterday

# What a request that names no bound holds back where its account has no answer yet: so many times the
# dearest answer of late, of whomever
_CAUTION = 10
_PATIENCE_S = 30.0  # with a run that does not tell what it has under way
_NAMED = 32  # models without a price that are remembered; one is enough to refuse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """Which account: of one run, session, principal or group, or of a principal's one day."""

    per: Scope
    of: str
    day: str = ""


@dataclass(slots=True, weakref_slot=True)
class Account:
    """All that is known of it. Changed in the event loop alone, never across a wait."""

    spent: Spent = field(default_factory=Spent)
    dearest: Spent | None = None  # of the answers so far; None: nobody knows what one costs
    guess: Spent | None = None  # what a first one comes to at most, by those of others; None: there were none
    unpriced: set[str] = field(default_factory=set)  # models that nobody knows a price of
    in_flight: list[Spent] = field(default_factory=list)  # what is held back for each
    lent_bytes: int = 0  # that runs of other processes may pass, and have not told of
    changed: anyio.Event = field(default_factory=anyio.Event)

    def is_open_to_another(self, limit: Limit) -> bool:
        """Whether those in flight leave something of it, whatever they come to."""
        return not self.in_flight or not limit.reached(self.with_held_back)

    @property
    def with_held_back(self) -> Spent:
        return sum(self.in_flight, self.spent)

    def hold_back(self, most: Most) -> Spent:
        """Take note of a request that is let through; return what `settle` gives back."""
        held = most.or_as(self.dearest or self.guess)
        self.in_flight.append(held)
        return held

    def settle(self, held: Spent, came_to: Spent | None, unpriced: str = "") -> None:
        """Take note of an answer; `came_to` None: the model was never asked, or refused."""
        self.in_flight.remove(held)
        self.charge(came_to or Spent(), unpriced)

    def charge(self, came_to: Spent, unpriced: str = "") -> None:
        """Add what was used, by an answer if it came to a request."""
        self.spent += came_to
        if came_to.requests:
            self.dearest = came_to.most(self.dearest or came_to)
        if unpriced and len(self.unpriced) < _NAMED:
            self.unpriced.add(unpriced)
        self.changed.set()
        self.changed = anyio.Event()


class Accounts:
    """Every account that some run needs now; what nobody needs is read from the ledger again."""

    def __init__(self, state: Journal, prices: Prices) -> None:
        self._state = state
        self._prices = prices
        self._known: WeakValueDictionary[Key, Account] = WeakValueDictionary()
        self._reading = anyio.Lock()
        self._untold: set[str] = set()
        self._told = anyio.Event()

    def wait_for(self, run_id: str) -> None:
        """Let no request through before it is told what this run, of another process, is at."""
        self._untold.add(run_id)

    def has_told(self, run_id: str) -> None:
        self._untold.discard(run_id)
        self._told.set()
        self._told = anyio.Event()

    async def all_known(self) -> None:
        """Return when all runs have told that are waited for, or do not."""
        with anyio.move_on_after(_PATIENCE_S) as waited:
            while self._untold:
                await self._told.wait()
        if waited.cancelled_caught:
            logger.warning("runs that do not tell what they have under way: %s", ", ".join(self._untold))
            self._untold.clear()

    async def account(self, key: Key) -> Account:
        """Return it with all that the ledger has. Raises HutchError `state_failed`."""
        async with self._reading:  # two that read at once would each begin one of their own
            if (account := self._known.get(key)) is None:
                account = self._known[key] = self._read(await self._rows(key))
                if account.dearest is None:
                    account.guess = await self._guess()
                account.spent += Spent(egress_bytes=await self._bytes(key))
            return account

    async def _guess(self) -> Spent | None:
        """Return what no answer comes to, by those of today, or else of yesterday; None: there were none."""
        for day in (today(), yesterday()):
            if rows := [row for row in await self._state.usage(day=day) if row.requests]:
                usd = max(row.charged_usd / row.requests for row in rows)
                tokens = max(row.charged_tokens // row.requests for row in rows)
                return Spent(usd * _CAUTION, tokens * _CAUTION, 1)
        return None

    async def charge(
        self, keys: Iterable[Key], spent: Spent, unpriced: str, store: Callable[[], Awaitable[None]]
    ) -> None:
        """Write down what a run of another process used, and add it to its accounts that are in use.

        One step: whoever reads an account meanwhile has it once. Raises what `store` raises.
        """
        async with self._reading:
            await store()
            for key in keys:
                if (account := self._known.get(key)) is not None:
                    account.charge(spent, unpriced)

    def lend(self, keys: Iterable[Key], count: int) -> None:
        """Hold back bytes that a run of another process may pass; fewer than none: no more."""
        for key in keys:
            if (account := self._known.get(key)) is not None:
                account.lent_bytes += count

    async def _bytes(self, key: Key) -> int:
        if key.per == "group":
            return 0  # it has no bound of bytes
        if key.per == "run":
            return await self._state.bytes_passed(run_id=key.of)
        if key.per == "session":
            return await self._state.bytes_passed(session_id=key.of)
        return await self._state.bytes_passed(principal=key.of, day=key.day or None)

    async def _rows(self, key: Key) -> list[UsageRow]:
        if key.per == "run":
            return await self._state.usage(run_id=key.of)
        if key.per == "group":
            return await self._state.usage(group_id=key.of)
        if key.per == "session":
            return await self._state.usage(session_id=key.of)
        return await self._state.usage(principal=key.of, day=key.day or None)

    def _read(self, rows: list[UsageRow]) -> Account:
        account = Account()
        for row in rows:
            usd = row.charged_usd
            if row.unpriced:  # perhaps the owner has given a price since
                known = self._prices.cost_usd(_used(row), row.host)
                usd = usd if known is None else max(usd, known)
                account.unpriced |= {row.model} if known is None else set()
            account.spent += Spent(usd, row.charged_tokens, row.requests)
        if answers := account.spent.requests:
            account.dearest = Spent(account.spent.usd / answers, account.spent.tokens // answers, 1)
        return account


def _used(row: UsageRow) -> Used:
    return Used(
        row.model,
        row.input_tokens,
        row.output_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.cache_write_1h_tokens,
        row.web_searches,
    )
