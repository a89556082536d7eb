"""Budgets that the run of another process shares with others: judged here, where all is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import anyio
from anyio import to_thread

from hutch.budgets import Limit, Most, Purse, Refused, Spent, Told, Whose, bytes_left, of_group, share_of
from hutch.budgets.accounts import Key
from hutch.budgets.records import Ticket
from hutch.errors import HutchError
from hutch.jobs import JobFolder
from hutch.runs.path.live import LiveRun
from hutch.runs.rooms import Rooms
from hutch.state import Connection, UsageRow
from hutch.state.usage import today


@dataclass(slots=True)
class Shared:
    """Of one run. What it told that it used is charged here, once."""

    rooms: Rooms
    folder: JobFolder
    whose: Whose
    purse: Purse
    _tickets: dict[int, Ticket] = field(default_factory=dict)
    _waiting: dict[int, anyio.CancelScope] = field(default_factory=dict)
    _given_up: set[int] = field(default_factory=set)
    _last: int = 0
    _known: dict[tuple[str, str, str], UsageRow] = field(default_factory=dict)  # day, host, model
    _lent: int = 0  # bytes that it may pass in all
    _passed: int = 0  # of connections that are stored
    _held: tuple[str, int] = "", 0  # the day, and what is held back of its accounts
    _lending: anyio.Lock = field(default_factory=anyio.Lock)

    @staticmethod
    def of(rooms: Rooms, live: LiveRun, limits: tuple[Limit, ...], folder: JobFolder) -> "Shared":
        record = live.record
        whose = Whose(record.id, record.session_id, record.principal)
        told = Told(live.say, lambda _: None, _pause)
        return Shared(rooms, folder, whose, Purse(whose, limits, rooms.accounts, rooms.prices, told))

    async def look(self) -> None:
        """See what is stored of its usage."""
        run_id = self.whose.run_id
        rows = [row for row in await self.rooms.state.usage(run_id=run_id) if row.run_id == run_id]
        self._known = {(row.day, row.host, row.model): row for row in rows}
        for row in rows:
            self.purse.so_far += Spent(row.charged_usd, row.charged_tokens, row.requests)
        for limit in self.purse.limits:  # which may have been given more since the run began
            if limit.per == "group" and (group := await self.rooms.state.group(limit.of)):
                self.purse.bound_group(of_group(group.id, group.budget_usd, group.budget_tokens))
        await self.purse.look()
        self._lent, self._passed = (
            self.folder.lent,
            await self.rooms.state.bytes_passed(run_id=run_id, is_alone=True),
        )
        self._hold_bytes()

    async def refuse_spent(self) -> str | None:
        """Say why not even a first request would be let through; None: it would."""
        try:
            await self.purse.refuse_spent()
        except HutchError as error:
            return error.message
        return None

    async def admit(
        self,
        *,
        asks_model: bool,
        number: int | None = None,
        usd: str | None = None,
        tokens: int | None = None,
        is_named: bool = False,
    ) -> int | dict[str, object]:
        """Judge a request; the number under which is held back what it may come to, or why it is refused."""
        if number is None:  # of a runner of an earlier version
            self._last -= 1
            number = self._last
        if number in self._tickets:  # it did not hear our answer
            return number
        given_up: dict[str, object] = {"why": "nobody waits for it any more", "pauses": False}
        if number in self._given_up:
            return given_up
        with anyio.CancelScope() as waiting:
            self._waiting[number] = waiting
            try:
                admitted = await self.purse.admit(_most(usd, tokens, is_named), asks_model=asks_model)
            finally:
                del self._waiting[number]
            if isinstance(admitted, Refused):
                return {"why": admitted.why, "pauses": admitted.pauses}
            self._tickets[number] = admitted
            return number
        return given_up

    def hold(self, number: int, usd: str | None, tokens: int | None, *, is_named: bool) -> None:
        """Hold back what a request may come to that an earlier daemon let through."""
        if number not in self._tickets:
            self._tickets[number] = self.purse.hold_back(today(), _most(usd, tokens, is_named))

    async def lend(self, *, passed: int) -> int | dict[str, object]:
        """Let it pass more bytes than have passed: how many in all, or why it may not."""
        await self.rooms.accounts.all_known()
        async with self._lending:
            await self.purse.look()
            least = max(self._lent, passed)
            left, why = bytes_left(self.purse.judged)
            share = share_of(left - (least - self._lent))
            if share <= 0:
                return {"why": why}
            self._lent = least + share
            self._hold_bytes()
            await to_thread.run_sync(self.folder.note_lent, self._lent)
            return self._lent

    def _hold_bytes(self, *, is_over: bool = False) -> None:
        """Hold back of today's accounts what it may have passed and has not told of."""
        day, count = self._held
        self.rooms.accounts.lend(self._keys(day), -count)
        self._held = today(), 0 if is_over else max(self._lent - self._passed, 0)
        self.rooms.accounts.lend(self._keys(self._held[0]), self._held[1])

    def settle(self, numbers: Sequence[int]) -> None:
        """Hold nothing back any more for requests whose answers are charged by now, or that were given up."""
        for number in numbers:
            if (ticket := self._tickets.pop(number, None)) is not None:
                self.purse.give_back(ticket)
            elif (waiting := self._waiting.get(number)) is not None:
                waiting.cancel()
            else:
                self._given_up.add(number)

    def close(self) -> None:
        """Hold nothing back: the run has ended."""
        self.settle(list(self._tickets))
        self._hold_bytes(is_over=True)

    async def charge(self, row: UsageRow) -> bool:
        """Store what a model used so far, and charge what of it is news; whether a budget is near its end."""
        key = (row.day, row.host, row.model)
        had = self._known.get(key)
        if had is not None and row.requests <= had.requests:
            return False  # an earlier daemon has stored it
        new = row.since(had) if had else row
        spent = Spent(new.charged_usd, new.charged_tokens, new.requests)
        unpriced = row.model if new.unpriced else ""
        store = partial(self.rooms.state.put_usage, row)
        await self.rooms.accounts.charge(self._keys(row.day), spent, unpriced, store)
        self._known[key] = row
        self.purse.so_far += spent
        return self.purse.warn()

    async def pass_bytes(self, connection: Connection) -> None:
        """Store a connection, and charge its bytes."""
        store = partial(self.rooms.state.add_connection, connection)
        spent = Spent(egress_bytes=connection.sent + connection.received)
        await self.rooms.accounts.charge(self._keys(today()), spent, "", store)
        self._passed += spent.egress_bytes
        self._hold_bytes()

    def _keys(self, day: str) -> list[Key]:
        whose = self.whose
        session = [Key("session", whose.session_id)] if whose.session_id else []
        return [
            Key("run", whose.run_id),
            *session,
            *(Key("group", limit.of) for limit in self.purse.limits if limit.per == "group"),
            Key("principal", whose.principal),
            Key("day", whose.principal, day),
        ]


async def _pause(_: str) -> bool:
    return False  # it is held still by whoever asked


def _most(usd: str | None, tokens: int | None, is_named: bool) -> Most:  # noqa: FBT001 - as it is told
    return Most(None if usd is None else Decimal(usd), tokens, is_named=is_named)
