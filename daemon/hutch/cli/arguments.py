"""`--arg`: the JSON arguments of a run, which templates in the names of its volumes take."""

from collections.abc import Iterable

import click

from hutch.cli import kinds

args_option = click.option(
    "--arg",
    type=kinds.argument,
    metavar="NAME=TEXT|NAME:=JSON",
    multiple=True,
    help="For $args[NAME] in a volume's name; a script's main gets it too.",
)


def arguments(given: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return the arguments by their names. Raises click.UsageError for one that is given twice."""
    found: dict[str, object] = {}
    for name, value in given:
        if name in found:
            raise click.UsageError(f"--arg {name} is given twice")
        found[name] = value
    return found
