"""What commands print: JSON for programs, columns for a person. Results go to stdout, all else to stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from pydantic import BaseModel, TypeAdapter

from hutch.telling.amounts import age, cost, counted, dollars, duration, in_and_out, metered, tokens
from hutch_mcp_tools.text import harmless, harmless_json, one_line

__all__ = [  # with the words that go into what is printed
    "age",
    "cost",
    "counted",
    "dollars",
    "duration",
    "in_and_out",
    "json_option",
    "metered",
    "note",
    "print_fields",
    "print_json",
    "print_table",
    "table_lines",
    "tokens",
]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

_CELL, _LAST_CELL = 60, 200  # characters of a column


def print_json(value: BaseModel | Sequence[BaseModel | Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print one JSON document, whose texts no terminal obeys."""
    if isinstance(value, BaseModel):
        document = value.model_dump_json(indent=2)
    else:
        document = TypeAdapter(Any).dump_json(value, indent=2).decode()
    print(harmless_json(document))


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
    """Say something that is not a result; what of it a sandbox may have written is made harmless."""
    print(harmless(text), file=sys.stderr, flush=True)
