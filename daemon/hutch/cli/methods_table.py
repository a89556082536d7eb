"""The methods as `hutch doctor` shows them: a table of guarantees, then reasons and fixes."""

import textwrap
from collections.abc import Sequence
from typing import Any

import click

from hutch.cli.checks import LINE, fix, mark
from hutch_launchers.spec import Guarantee
from hutch_mcp_tools.text import one_line

Document = dict[str, Any]
_COLUMNS = {
    Guarantee.FILESYSTEM: "files",
    Guarantee.NETWORK: "network",
    Guarantee.PROCESSES: "processes",
    Guarantee.SYSCALLS: "syscalls",
    Guarantee.MEMORY: "memory",
    Guarantee.CPU: "cpu",
    Guarantee.PIDS: "pids",
    Guarantee.DISK: "disk",
    Guarantee.KERNEL: "kernel",
}
_NAME, _WIDTH = 20, 100  # characters


def print_methods(methods: Sequence[Document], chosen: str) -> None:
    """Print the table; `chosen` is the method of the policy."""
    width = max(len("methods"), *(min(len(method["name"]), _NAME) for method in methods))
    heads = "  ".join(_COLUMNS.values())
    click.echo(f"    {click.style('methods'.ljust(width), bold=True)}  {click.style(heads, bold=True)}")
    for method in methods:
        name = one_line(method["name"], _NAME).ljust(width)
        shown = mark(method["usable"], optional=method["name"] != chosen)
        text = _cells(method) if method["available"] else one_line(method["reason"], LINE)
        click.echo(f"{shown} {click.style(name, bold=method['name'] == chosen)}  {text}".rstrip())
        if not method["available"]:
            fix(method["fix"])
    for method in methods:
        if method["available"]:
            _print_reasons(method, is_chosen=method["name"] == chosen)


def _cells(method: Document) -> str:
    """One cell a guarantee: held, or not; most share the host's kernel, and nothing is wrong with that."""
    cells = []
    for guarantee, head in _COLUMNS.items():
        shown = method["guarantees"].get(guarantee)
        is_held = bool(shown and shown["held"])
        if guarantee is Guarantee.KERNEL and not is_held:
            cells.append("host's")
            continue
        cells.append(
            click.style(("held" if is_held else "-").ljust(len(head)), fg="green" if is_held else "yellow")
        )
    return "  ".join(cells)


def _print_reasons(method: Document, *, is_chosen: bool) -> None:
    """Say by what it holds, for the method of the policy, and what was seen of what does not."""
    guarantees = method["guarantees"]
    held = [
        f"{name} by {shown['mechanism']}"
        for name, shown in guarantees.items()
        if shown["held"] and shown["mechanism"]
    ]
    broken = [
        f"not {name}: {shown['detail']}"
        for name, shown in guarantees.items()
        if not shown["held"] and name != Guarantee.KERNEL  # most share the host's, as the table shows
    ]
    broken += [f"not {ability}: {reason}" for ability, reason in method["unable"].items()]
    if not is_chosen and not broken:
        return
    click.echo(f"    {click.style(method['name'], bold=True)} {one_line(method['version'], _NAME)}".rstrip())
    if is_chosen and held:
        said = textwrap.fill(one_line(", ".join(held), 2 * LINE), _WIDTH - 6)
        click.echo(textwrap.indent(said, " " * 6))
    for reason in broken:
        click.echo(f"      {one_line(reason, _WIDTH - 6)}")
    if method["missing"]:
        click.echo(f"      lacks what policy.needs asks for: {', '.join(method['missing'])}")
        fix(method["fix"])
