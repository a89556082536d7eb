"""`hutch volume share`: who else may do what with a volume."""

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, print_json, print_table
from hutch_mcp_tools.access_records import AccessLevel, ShareRecord
from hutch_mcp_tools.service import SandboxService


@click.command()
@click.argument("name")
@click.argument("principal", required=False)
@click.argument("level", required=False, type=click.Choice(("none", "ro", "rw", "owner")))
@json_option
@click.pass_obj
def share(
    invocation: Invocation, /, *, name: str, principal: str | None, level: AccessLevel | None, as_json: bool
) -> None:
    """Say what PRINCIPAL may do with volume NAME from now on; without them, list what was said.

    It goes before what the configuration grants: none takes away also what a pattern gives.
    """
    if principal and not level:
        raise click.UsageError("say what the principal may do: none, ro, rw or owner")

    async def work(service: SandboxService) -> list[ShareRecord]:
        if principal and level:
            return await service.share_volume(name, principal, level)
        return await service.volume_shares(name)

    records = invocation.call(work)
    if as_json:
        print_json(records)
    else:
        print_table(("PRINCIPAL", "MAY"), ((one.principal, one.level) for one in records))
