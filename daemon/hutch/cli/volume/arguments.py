"""What the commands about volumes take."""

import sys

import click
from click.shell_completion import CompletionItem

from hutch.cli.invocation import Invocation
from hutch.errors import HutchError
from hutch_mcp_tools.service import SandboxService


def volume_names(
    context: click.Context, _: click.Parameter, begun: str, *, removed: bool = False
) -> list[CompletionItem]:
    """Complete a volume's name, where a daemon runs that can be asked."""

    async def names(service: SandboxService) -> list[str]:
        return [volume.name for volume in await service.list_volumes(removed=removed)]

    root = context.find_root()
    invocation = root.obj or Invocation(root.params.get("config"))
    try:
        found = invocation.call(names, start=False)
    except HutchError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(begun)]


name_argument = click.argument("name", shell_complete=volume_names)
folder_argument = click.argument("path", default="/")
path_argument = click.argument("path")
at_option = click.option(
    "--at",
    metavar="SNAPSHOT",
    help="A snapshot: its number, a tag, a time, or an age such as 2h. The newest unless given.",
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do it without asking.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person, unless they said yes. Raises HutchError where they do not want it, or nobody is there."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise HutchError("not_confirmed", "nobody is there to be asked", "to do it without asking: --yes")
    if not click.confirm(question, err=True):
        raise HutchError("not_confirmed", "nothing was done")
