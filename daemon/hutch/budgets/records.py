"""What a purse is handed, and what it hands out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from hutch.budgets.accounts import Account
from hutch.budgets.limits import Limit, Most, Spent


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose run it is."""

    run_id: str  # or the session's of a kept sandbox
    session_id: str | None
    principal: str
    begun_by: str = ""  # the run whose agent has begun it, and whose budgets it spends


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told, in plain words: that a budget is nearly spent, that a request was refused, or waits."""

    nearly: Callable[[str], None]
    spent: Callable[[str], None]
    pause: Callable[[str], Awaitable[bool]]  # hold the run still until it may go on; whether that was done


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that must not be sent on, and why, for a person."""

    why: str
    pauses: bool = False


class Others(Protocol):
    """Budgets that runs of other processes share: judged where all that is spent of them comes together."""

    def judges(self, limit: Limit) -> bool:
        """Whether a budget is one of them."""

    async def refuse_spent(self) -> None:
        """Raise HutchError `budget_spent` where not even a first request would be let through."""

    async def admit(self, most: Most, *, asks_model: bool) -> int | Refused:
        """Judge one more request; what is let through is held back until `settle`."""

    def settle(self, number: int) -> None:
        """Take note that a request was answered; what it came to was told before."""

    async def lend(self, passed: int) -> int | Refused:
        """Return how many bytes may pass in all, of which so many have."""


@dataclass(slots=True)
class Ticket:
    """A request that was let through."""

    day: str
    held: list[tuple[Account, Spent]] = field(default_factory=list)
    of_others: int | None = None  # what `Others.settle` takes
