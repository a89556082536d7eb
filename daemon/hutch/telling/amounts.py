"""Times, counts, tokens and dollars for a person."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hutch_mcp_tools.usage_records import ModelUsage, Usage


def age(moment: datetime | None) -> str:
    """How long ago, in the largest unit: "4 s", "3 h"."""
    return "" if moment is None else duration((datetime.now(UTC) - moment).total_seconds())


def duration(seconds: float | None) -> str:
    """Seconds in a unit for a person."""
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    if seconds < 1:
        return f"{1000 * max(seconds, 0):.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}{'s' * (number != 1)}"


def tokens(usage: Usage | None) -> str:
    """What a model was asked and answered, "12k in, 3k out"; empty where it was not asked."""
    if usage is None:
        return ""
    asked = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return in_and_out(asked, usage.output_tokens)


def in_and_out(asked: int, answered: int) -> str:
    """Tokens in both directions, empty where there were none."""
    return f"{_short(asked)} in, {_short(answered)} out" if asked or answered else ""


def cost(usage: Usage | None) -> str:
    """Dollars, where they are known."""
    return "" if usage is None else dollars(usage.cost_usd)


def dollars(amount: float | None) -> str:
    """Empty where nobody knows."""
    return "" if amount is None else f"${amount:.4f}"


def metered(used: Sequence[ModelUsage]) -> str:
    """What models were seen to use, model by model."""
    return "; ".join(_of_model(usage) for usage in used)


def _of_model(usage: ModelUsage) -> str:
    least = "at least " if usage.incomplete else ""
    price = cost(usage) or "of unknown price"
    parts = [counted(usage.requests, "request"), f"{least}{tokens(usage) or 'no tokens'}", price]
    return f"{usage.model or 'a model without a name'} at {usage.host}: {', '.join(parts)}"


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
