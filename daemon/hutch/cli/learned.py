"""`hutch net propose` and `hutch net accept`: what a run needed, as a network of the configuration."""

from collections.abc import Sequence

import click

from hutch.cli.configuring import change, configuration
from hutch.cli.invocation import Invocation
from hutch.cli.output import note
from hutch.errors import HutchError
from hutch_mcp_tools.network_records import ConnectionRecord
from hutch_mcp_tools.text import one_line

_MOST = 10_000  # connections of one log
_SHOWN = 20  # destinations that were refused
_NOT_ALLOWED = ("rule", "name", "request", "too_many")  # refused before a rule was found
_NOT_THERE = ("unresolved",)  # allowed, and no host: misspelled, or this one was offline


@click.command(short_help="Show the smallest network that would have done.")
@click.argument("id_", metavar="ID")
@click.option("--name", default="learned", show_default=True, help="What the network would be called.")
@click.pass_obj
def propose(invocation: Invocation, /, *, id_: str, name: str) -> None:
    """Show the smallest network that would have let a run or session do what it did, as a diff."""
    _write(invocation, id_, name, dry_run=True)
    note(f"to have it so: hutch net accept {id_} --name {name}")


@click.command(short_help="Write that network into the configuration.")
@click.argument("id_", metavar="ID")
@click.option("--name", required=True, help="What the network is called: hutch run --net NAME.")
@click.option("--replace", is_flag=True, help="Take the place of a network that is called so.")
@click.pass_obj
def accept(invocation: Invocation, /, *, id_: str, name: str, replace: bool) -> None:
    """Write that network into the configuration, and let callers ask for it."""
    if name in invocation.config.networks and not replace:
        raise HutchError(
            "network_exists", f"there is a network {name!r} already", "take another name, or add: --replace"
        )
    _write(invocation, id_, name, dry_run=False)


def _write(invocation: Invocation, id_: str, name: str, *, dry_run: bool) -> None:
    from hutch.config import writing
    from hutch.policy.learning import Met, smallest

    log = invocation.call(lambda service: service.network_log(id_, _MOST))
    met = [Met(c.host, c.port, c.rule, c.address) for c in log if c.rule and c.refused not in _NOT_ALLOWED]
    _tell_refused(log)
    table = smallest(met, invocation.config)
    if not table:
        raise HutchError(
            "nothing_learned",
            f"{id_} connected to nothing that its network allows",
            "let it run with --net learn, and see: hutch net log",
        )
    file, text = configuration(invocation)
    change(invocation, file, text, writing.with_network(text, name, table), dry_run=dry_run)


def _tell_refused(log: Sequence[ConnectionRecord]) -> None:
    """Say what it tried in vain, which nobody but the owner can allow."""
    refused = {c.told or c.refused: c for c in log if c.refused in _NOT_ALLOWED}
    for told in list(refused)[:_SHOWN]:
        note(one_line(f"not in it: {told}", 600))
    absent = dict.fromkeys(f"{c.host}:{c.port}" for c in log if c.refused in _NOT_THERE)
    for where in list(absent)[:_SHOWN]:
        note(
            one_line(
                f"in it, and never reached: {where}, whose name was not resolved; is it spelled so?", 600
            )
        )
    if len(refused) > _SHOWN:
        note(f"and {len(refused) - _SHOWN} more; see: hutch net log")
