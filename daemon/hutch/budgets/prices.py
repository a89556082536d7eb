"""The prices that hold here, as the owner configured them."""

from decimal import Decimal

from hutch.config import Config
from hutch.egress.meter import Price, Prices


def prices_of(config: Config) -> Prices:
    """Return the list of prices, with the owner's own before it."""
    return Prices(
        {
            model: Price(
                _exact(price.input) or Decimal(0),
                _exact(price.output) or Decimal(0),
                _exact(price.cache_read),
                _exact(price.cache_write),
            )
            for model, price in config.prices.items()
        }
    )


def _exact(dollars: float | None) -> Decimal | None:
    return None if dollars is None else Decimal(str(dollars))
