"""A command of many options, whose help has its examples first, then the options by what they are about."""

import re
from collections.abc import Mapping
from typing import Any

import click

_OTHER = "Output and help"
_OBVIOUS = re.compile(r"\s+\[x>=?[01]\]$")  # that a number is above nothing


class SectionedCommand(click.Command):
    """`sections`: titles, each with its options' names; those in none stand at the end."""

    def __init__(self, *args: Any, sections: Mapping[str, str], examples: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._examples = examples.strip().splitlines()
        self._sections = {title: names.split() for title, names in sections.items()}
        known = {_name(param) for param in self.params}
        if unknown := {name for names in self._sections.values() for name in names} - known:
            raise ValueError(f"no such options: {unknown}")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for line in self._examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = {_name(param): param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        sections = [(title, [options.pop(name) for name in names]) for title, names in self._sections.items()]
        for title, found in [*sections, (_OTHER, list(options.values()))]:
            records = [option.get_help_record(ctx) for option in found]
            with formatter.section(title):
                formatter.write_dl([(term, _OBVIOUS.sub("", text)) for term, text in filter(None, records)])


def _name(option: click.Parameter) -> str:
    """The long one of its names, as it is typed."""
    return max(option.opts, key=len)
