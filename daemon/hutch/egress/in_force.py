"""The network of a run while it lives: one object, whose rules its owner may replace."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

from hutch.destinations import Pattern
from hutch.egress.records import Refusal
from hutch.egress.rules import Missing, Network, Rule, has_name, judge, must_be_read


class Cuttable(Protocol):
    """An open connection."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    def cut(self, why: Refusal) -> None: ...


class InForce:
    """What a run may reach now, and what it has used of its byte budgets. All in the event loop."""

    def __init__(self, network: Network, beside: "InForce | None" = None) -> None:
        """`beside`: another run's. It shares that one's byte budgets, and reaches no more than it."""
        self._network = network
        self.also_spend: Callable[[int], bool] | None = None  # told of all bytes; whether no more may pass
        self.also_waits: Callable[[], Awaitable[bool]] | None = None  # until more may pass; whether none may
        self.is_served = False  # ways out are open
        # Whose connections are read, since the start
        self.reads: Callable[[str, int], bool] = lambda *_: False
        self._is_over = False
        self._used: dict[Pattern, int] = {} if beside is None else beside._used
        self._open: dict[int, Cuttable] = {}
        self.beside = beside
        self._others: WeakSet[InForce] = WeakSet()  # which this one is beside
        if beside is not None:
            beside._others.add(self)

    @property
    def network(self) -> Network:
        return self._network

    def replace(self, network: Network) -> None:
        """Let these rules count from now on; connections that they would not let through are cut."""
        self._network = network
        self._cut_missing()

    def judge(self, host: str, port: int) -> Rule | Missing:
        judged = judge(self._network, host, port)
        if self.beside is None or isinstance(judged, Missing):
            return judged
        other = self.beside.judge(host, port)
        return other if isinstance(other, Missing) else judged

    def _cut_missing(self) -> None:
        for connection in list(self._open.values()):
            if isinstance(self.judge(connection.host, connection.port), Missing):
                connection.cut(Refusal.CUT)
        for other in self._others:
            other._cut_missing()

    def is_unread(self, host: str, port: int) -> bool:
        """Whether nobody may be let through: what goes there must be read, and this run cannot."""
        return must_be_read(self._network, host, port) and not self.reads(host, port)

    def has_name(self, host: str) -> bool:
        is_beside = self.beside is None or self.beside.has_name(host)
        return is_beside and has_name(self._network, host)

    @contextmanager
    def watching(self, connection: Cuttable) -> Iterator[None]:
        """Cut it when its rule goes, for as long as the block."""
        self._open[id(connection)] = connection
        try:
            yield
        finally:
            del self._open[id(connection)]

    def spent(self, host: str, port: int) -> bool:
        """Whether a byte budget of this destination is used up."""
        budgets = self._network.max_bytes
        return self._is_over or any(
            self._used.get(p, 0) >= budgets[p] for p in budgets if p.covers(host, port)
        )

    def spend(self, host: str, port: int, count: int) -> bool:
        """Count bytes that have passed, either way; return whether a budget is used up by now."""
        if self.also_spend is not None:
            self._is_over = self.also_spend(count)
        for pattern in self._network.max_bytes:
            if pattern.covers(host, port):
                self._used[pattern] = self._used.get(pattern, 0) + count
        return self.spent(host, port)

    async def wait_for_room(self, host: str, port: int) -> bool:
        """Return when more bytes may pass; whether a budget is used up instead."""
        if self.also_waits is not None and await self.also_waits():
            self._is_over = True
        return self.spent(host, port)
