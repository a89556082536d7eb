"""`hutch method setup`: what a method needs of the host is made once, by this command alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note, print_json
from hutch.errors import HutchError

if TYPE_CHECKING:
    from hutch.config import Config
    from hutch_launchers.launcher import Launcher


@click.command(short_help="Make what a method needs of this host.")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Take away again what was made.")
@json_option
@click.pass_obj
def setup(invocation: Invocation, /, *, name: str, undo: bool, as_json: bool) -> None:
    """Make what the method NAME needs of this host, such as accounts; what is there already stays.

    It is never made without this command.
    """
    import anyio

    done = anyio.run(_set_up, find(invocation.config, name), undo)
    if as_json:
        print_json({"method": name, "done": list(done)})
        return
    for line in done:
        click.echo(line)
    if not done:
        note("there is nothing to do")


def find(config: "Config", name: str) -> "Launcher":
    """The method of that name. Raises HutchError `method_unknown`."""
    from hutch import app

    launchers = app.launchers_of(config)
    if name not in launchers:
        raise HutchError(
            "method_unknown",
            f"no method is called {name!r}",
            f"configured: {', '.join(sorted(launchers))}; others need a table in [methods]",
        )
    return launchers[name]


async def _set_up(launcher: "Launcher", undo: bool) -> Sequence[str]:  # noqa: FBT001 - anyio.run passes by position
    from hutch_launchers.launcher import LauncherError, NeedsSetUp

    if not isinstance(launcher, NeedsSetUp):
        return ()
    try:
        return await (launcher.undo_set_up() if undo else launcher.set_up())
    except LauncherError as error:
        raise HutchError(error.code, error.message, error.hint) from error
