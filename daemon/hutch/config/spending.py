"""What tokens cost by the owner's word, and how much may be spent: `[prices]` and `[budgets]`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from hutch.config.kinds import Choice, Each, Number, Size, Text, Whole
from hutch.config.reader import Reader

Per = Literal["run", "session", "day", "principal"]

_MODEL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens of one model; None: as for input."""

    input: Annotated[float | None, Number(0, 1e6, "dollars")] = None
    output: Annotated[float | None, Number(0, 1e6, "dollars")] = None
    cache_read: Annotated[float | None, Number(0, 1e6, "dollars")] = None
    cache_write: Annotated[float | None, Number(0, 1e6, "dollars")] = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent in each of what it is for. 0: without a bound."""

    per: Annotated[Per, Choice(get_args(Per))] = "day"
    principals: Annotated[tuple[str, ...], Each(Text())] = ()  # whom it is for; none: for everybody
    usd: Annotated[float, Number(0, 1e6, "dollars")] = 0.0
    tokens: Annotated[int, Whole(0, 1 << 50)] = 0
    requests: Annotated[int, Whole(0, 1 << 50)] = 0
    egress_bytes: Annotated[int, Size(0, key="egress")] = 0
    minutes: Annotated[float, Number(0, 1e7, "minutes")] = 0.0
    at_limit: Annotated[str, Choice(("stop", "pause"))] = "stop"
    soft: Annotated[float, Number(0, 1)] = 0.8  # of it; from there on the run is told


def read_prices(reader: Reader, value: object) -> Mapping[str, Price]:
    """Read `[prices]`, whose tables are named for models. Raises HutchError `config_invalid`."""
    prices: dict[str, Price] = {}
    for model, raw in reader.table(value, "prices").items():
        where = f"prices.{model!r}"
        if not 0 < len(model) <= _MODEL_CHARS:
            raise reader.error(where, f"must be the name of a model, of 1 to {_MODEL_CHARS} characters")
        price = prices[model] = reader.record(Price, raw, where, Price())
        if price.input is None or price.output is None:
            raise reader.error(where, "must give input and output", "dollars for a million tokens")
    return MappingProxyType(prices)


def check_budgets(reader: Reader, budgets: Mapping[str, Budget], principals: Mapping[str, object]) -> None:
    """Raise HutchError `config_invalid` for a budget that bounds nothing, or is for nobody."""
    for name, budget in budgets.items():
        if not any((budget.usd, budget.tokens, budget.requests, budget.egress_bytes, budget.minutes)):
            raise reader.error(
                f"budgets.{name}", "bounds nothing", "give usd, tokens, requests, egress or minutes"
            )
        for principal in budget.principals:
            if principal not in principals:
                known = f"known: {', '.join(sorted(principals))}"
                raise reader.error(f"budgets.{name}.principals", f"names no principal: {principal!r}", known)
