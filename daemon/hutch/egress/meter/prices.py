"""What tokens cost: the owner's own prices, what a gateway states, else the list of `genai-prices`.

That list comes with the package and is never fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider

from hutch.egress.meter.used import Used

_MILLION = 1_000_000
# Tokens that no model of these writes more of in one answer, by their documentation of 2026-11
_WRITES = {"anthropic": 128_000, "google": 65_536, "openai": 128_000}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens; None: as for input."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None

    def cost_usd(self, used: Used) -> Decimal:
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        total = (
            self.input * used.input_tokens
            + self.output * used.output_tokens
            + read * used.cache_read_tokens
            + write * used.cache_write_tokens
        )
        return total / _MILLION


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices that hold here: `own` by the exact name of a model, before any list."""

    own: Mapping[str, Price] = field(default_factory=dict)

    def cost_usd(self, used: Used, host: str) -> Decimal | None:
        """Return what an answer of `host` cost; None: no price of its model is known."""
        if own := self.own.get(used.model):
            return own.cost_usd(used)
        if used.stated_usd is not None:
            return used.stated_usd
        return _list_cost(used, host)

    def most_usd(self, used: Used, host: str) -> Decimal | None:
        """Return what that costs at most, whether its input is kept, and for how long, or not."""
        count = used.input_tokens
        kept = replace(used, input_tokens=0, cache_write_tokens=count)
        longer = replace(kept, cache_write_1h_tokens=count)
        costs = [self.cost_usd(each, host) for each in (used, kept, longer)]
        return max((cost for cost in costs if cost is not None), default=None)


def sizes_of(model: str, host: str) -> tuple[int | None, int | None]:
    """Return how many tokens a model reads, and writes, at most in one answer; None: nobody knows."""
    found = _listed(model, host) if model else None
    if found is None:
        return None, None
    provider, known = found
    window = known.context_window
    return window, _WRITES.get(provider.id, window)


def read_prices() -> None:
    """Have the list in memory: whoever is forked from us has it too."""
    _list_cost(Used(model="gpt-5"), "api.openai.com")


def _list_cost(used: Used, host: str) -> Decimal | None:
    if (found := _listed(used.model, host)) is None:
        return None
    provider, model = found
    try:
        cost = model.calc_price(
            genai_prices.Usage(
                input_tokens=used.input_tokens + used.cache_read_tokens + used.cache_write_tokens,
                output_tokens=used.output_tokens,
                cache_read_tokens=used.cache_read_tokens,
                cache_write_tokens=used.cache_write_tokens,
                cache_write_1h_tokens=min(used.cache_write_1h_tokens, used.cache_write_tokens),
                web_searches=used.web_searches,
            ),
            provider,
            price_context={"service_tier": used.service_tier, "speed": used.speed},
        )
    except (ValueError, LookupError):  # counts that do not fit together, or that its list has no price for
        return None
    if used.tokens and not cost.total_price:
        return None  # nothing for tokens: the list has this model and not its price
    return cost.total_price


@lru_cache(maxsize=256)  # the names are the answers' own: no more of them are kept
def _listed(model: str, host: str) -> tuple[Provider, ModelInfo] | None:
    snapshot, ref = get_snapshot(), model.lower()
    try:
        provider = snapshot.find_provider(None, None, f"https://{host}/v1")
    except LookupError:
        of_model = (p for p in snapshot.providers if p.model_match and p.model_match.is_match(ref))
        if (of_any := next(of_model, None)) is None:
            return None
        provider = of_any
    found = provider.find_model(ref, all_providers=snapshot.providers)
    return None if found is None else (provider, found)
