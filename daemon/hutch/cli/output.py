"""What commands print: JSON for programs, columns for a person. Results go to stdout, all else to stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from pydantic import BaseModel, TypeAdapter

from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.usage_records import ModelUsage, Usage

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

_CELL, _LAST_CELL = 60, 200  # characters of a column


def print_json(value: BaseModel | Sequence[BaseModel | Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print one JSON document."""
    if isinstance(value, BaseModel):
        print(value.model_dump_json(indent=2))
    else:
        print(TypeAdapter(Any).dump_json(value, indent=2).decode())


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns; what a sandbox may have written is made harmless."""
    for n, text in enumerate(table_lines(heads, rows)):
        click.secho(text, bold=n == 0)


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, its heads first; each cell is harmless and in one line."""
    lines = [[*(one_line(cell, _CELL) for cell in row[:-1]), one_line(row[-1], _LAST_CELL)] for row in rows]
    table = [list(heads), *lines]
    widths = [max(len(line[n]) for line in table) for n in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line, a tuple's parts below each other; what is empty is left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", [], {}, ())}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        for n, part in enumerate(value if isinstance(value, tuple) else (value,)):
            text = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, default=str)
            print(f"{('' if n else name).ljust(width)}  {one_line(text, 400)}")


def note(text: str) -> None:
    """Say something that is not a result."""
    print(text, file=sys.stderr, flush=True)


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
