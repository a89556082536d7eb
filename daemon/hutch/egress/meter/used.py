"""What one answer of a model used."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Used:
    """Counts of one answer, as its provider states them."""

    model: str  # as the answer names it; empty: it does not
    input_tokens: int = 0  # without cache reads and writes
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0  # for however long
    cache_write_1h_tokens: int = 0  # of those, for an hour
    web_searches: int = 0
    stated_usd: Decimal | None = None  # what a gateway says that it takes for this answer
    service_tier: str = ""
    speed: str = ""
    is_complete: bool = True  # False: the answer broke off, or does not say all; a lower bound

    @property
    def tokens(self) -> int:
        """All of them, of whatever kind."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens
