"""What may be spent, what was, and how the two compare. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from hutch.config import Budget, Per

ASKED = "asked"  # the name of the limit that the caller itself gave
GROUP = "group"  # the name of the one that all attempts of a group have together
Scope = Literal[Per, "group"]
SOFT = Decimal("0.8")
# More than any budget has: what is held back for a request of which nobody knows what it comes to
_ENDLESS_USD = Decimal("Infinity")
_ENDLESS = 1 << 60


@dataclass(frozen=True, slots=True)
class Spent:
    """What answers of models came to, and the bytes that passed to and from the network."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    requests: int = 0
    egress_bytes: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.usd + other.usd,
            self.tokens + other.tokens,
            self.requests + other.requests,
            self.egress_bytes + other.egress_bytes,
        )

    def most(self, other: "Spent") -> "Spent":
        """Return the greater of each."""
        return Spent(
            max(self.usd, other.usd),
            max(self.tokens, other.tokens),
            max(self.requests, other.requests),
            max(self.egress_bytes, other.egress_bytes),
        )


@dataclass(frozen=True, slots=True)
class Most:
    """What the answer to one request comes to at most; None: nobody knows."""

    usd: Decimal | None = None
    tokens: int | None = None
    is_named: bool = False  # the request itself bounds it

    def or_as(self, earlier: Spent | None) -> Spent:
        """Return what is held back for it; `earlier`: what an answer comes to, by those before it."""
        usd, tokens = self.usd, self.tokens
        if earlier is not None and not self.is_named:
            usd, tokens = max(usd or earlier.usd, earlier.usd), max(tokens or 0, earlier.tokens)
        return Spent(_ENDLESS_USD if usd is None else usd, _ENDLESS if tokens is None else tokens, 1)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be spent per run, session, day, principal or group; None: without a bound."""

    name: str
    per: Scope
    usd: Decimal | None = None
    tokens: int | None = None
    requests: int | None = None
    egress_bytes: int | None = None
    minutes: Decimal | None = None  # held by the deadlines of runs, and not by what is spent here
    soft: Decimal = SOFT
    pauses: bool = False  # at its end the run is held still until somebody lets it go on
    of: str = ""  # which group

    def bounds(self, spent: Spent) -> Iterator[tuple[Decimal | int, Decimal | int, str]]:
        """Yield each bound, what is spent of it, and both for a person."""
        if self.usd is not None:
            yield self.usd, spent.usd, f"{dollars(spent.usd)} of {dollars(self.usd)}"
        if self.tokens is not None:
            yield self.tokens, spent.tokens, f"{spent.tokens:,} of {self.tokens:,} tokens"
        if self.requests is not None:
            yield self.requests, spent.requests, f"{spent.requests:,} of {self.requests:,} requests"
        if self.egress_bytes is not None:
            told = f"{spent.egress_bytes:,} of {self.egress_bytes:,} bytes to and from the network"
            yield self.egress_bytes, spent.egress_bytes, told

    def reached(self, spent: Spent) -> str:
        """Return which bound is reached, for a person; empty: none."""
        return next((told for bound, used, told in self.bounds(spent) if used >= bound), "")

    def nearly(self, spent: Spent) -> str:
        """Return which bound is nearly reached, for a person; empty: none."""
        return next((told for bound, used, told in self.bounds(spent) if used >= bound * self.soft), "")

    def left(self, *, bytes_pass: bool) -> "Limit":
        """Return what of it can be spent where no model is seen, and where bytes pass or do not."""
        egress_bytes = self.egress_bytes if bytes_pass else None
        return replace(self, usd=None, tokens=None, requests=None, egress_bytes=egress_bytes)

    def more(self, spent: Spent, by: "Limit") -> "Limit":
        """Return it with what `by` gives on top of what is spent; what that leaves out stays."""
        return replace(
            self,
            usd=self.usd if by.usd is None else spent.usd + by.usd,
            tokens=self.tokens if by.tokens is None else spent.tokens + by.tokens,
            requests=self.requests if by.requests is None else spent.requests + by.requests,
        )

    def after(self, spent: Spent) -> "Limit":
        """Return what others, who count as one with it, have left of it."""
        return replace(
            self,
            usd=self.usd and max(self.usd - spent.usd, Decimal(0)),
            tokens=self.tokens and max(self.tokens - spent.tokens, 0),
            requests=self.requests and max(self.requests - spent.requests, 0),
            egress_bytes=self.egress_bytes and max(self.egress_bytes - spent.egress_bytes, 0),
        )

    def state(self, spent: Spent) -> dict[str, object]:
        """Return how it stands, for a record."""
        return {
            "name": self.name,
            "per": self.per,
            "spent": "; ".join(told for _, _, told in self.bounds(spent)),
            "is_spent": bool(self.reached(spent)),
            "is_near": bool(self.nearly(spent)),
        }

    @property
    def is_empty(self) -> bool:
        return self.minutes is None and not any(self.bounds(Spent()))

    @property
    def whose(self) -> str:
        """Which budget it is, for a person."""
        if self.name == ASKED:
            return "the budget of this run"
        if self.per == "group":
            return f"the budget of group {self.of}"
        return f"budget {self.name!r} (per {self.per})"


def of_group(group_id: str, usd: float | None, tokens: int | None) -> Limit:
    """Return what all attempts of a group may spend together."""
    return Limit(GROUP, "group", None if usd is None else Decimal(str(usd)), tokens, of=group_id)


def limits_of(budgets: Mapping[str, Budget], principal: str, asked: Limit | None = None) -> tuple[Limit, ...]:
    """Return what bounds a run of `principal`'s: the owner's budgets, and what was asked for."""
    own = (
        Limit(
            name,
            budget.per,
            usd=Decimal(str(budget.usd)) if budget.usd else None,
            tokens=budget.tokens or None,
            requests=budget.requests or None,
            egress_bytes=budget.egress_bytes or None,
            minutes=Decimal(str(budget.minutes)) if budget.minutes else None,
            soft=Decimal(str(budget.soft)),
            pauses=budget.at_limit == "pause",
        )
        for name, budget in budgets.items()
        if not budget.principals or principal in budget.principals
    )
    return (*own, *([asked] if asked else []))


def dollars(amount: Decimal) -> str:
    """Return dollars for a person, to the cent, or as exactly as less needs."""
    return f"${amount:.2f}" if amount >= 1 or amount == round(amount, 2) else f"${amount:.4f}"
