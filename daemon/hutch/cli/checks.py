"""Lines of `hutch doctor`: what works, and the fix for what does not."""

import click

from hutch_mcp_tools.text import one_line

LINE = 200  # characters of what is told
_FIX = 1000  # of what to do about it, which is of no use in part


def line(works: bool, name: str, text: str, *, optional: bool = False) -> None:  # noqa: FBT001 - reads as a table
    """Print one check; what is `optional` may be missing."""
    click.echo(f"{mark(works, optional=optional)} {click.style(name, bold=True)}: {one_line(text, LINE)}")


def mark(works: bool, *, optional: bool = False) -> str:  # noqa: FBT001 - reads as a table
    """Three characters that say whether it works."""
    if works:
        return click.style("ok ", fg="green")
    return click.style("-- ", fg="yellow") if optional else click.style("NO ", fg="red")


def fix(text: str) -> None:
    """Print how to mend it, if there is something to say."""
    if text:
        click.echo(f"    fix: {one_line(text, _FIX)}")
