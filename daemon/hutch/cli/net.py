"""`hutch net`: what went out of sandboxes and what was refused there, and what they may reach."""

import click

from hutch.cli.invocation import Invocation
from hutch.cli.learned import accept, propose
from hutch.cli.output import duration, json_option, note, print_json, print_table
from hutch_launchers.sizes import size
from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange
from hutch_mcp_tools.text import one_line

_HEADS = ("TIME", "TO", "ADDRESS", "RULE", "BY", "OUT", "IN", "TOOK", "COUNT", "SECRETS", "REFUSED")
_MOST = 10_000


@click.group()
def net() -> None:
    """What went out of sandboxes, what was refused there, and what they may reach while they work."""


@net.command(short_help="List what a run or session connected to, and every refusal.")
@click.argument("id_", metavar="ID")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1, _MOST), default=1000, show_default=True)
@json_option
@click.pass_obj
def log(invocation: Invocation, /, *, id_: str, limit: int, as_json: bool) -> None:
    """List the connections of a run or session in their order, each at its end, and every refusal."""
    records = invocation.call(lambda service: service.network_log(id_, limit))
    if as_json:
        print_json(records)
        return
    print_table(_HEADS, map(_row, records))
    if not records:
        note("nothing went out of it, and nothing was refused")
    for told in dict.fromkeys(_refusal(record) for record in records if record.refused):
        note(told)


@net.command(short_help="Let one that works now reach a host too.")
@click.argument("id_", metavar="ID")
@click.argument("host", metavar="HOST[:PORT]")
@click.option("--host-service", is_flag=True, help="It is a service of this host or its private network.")
@json_option
@click.pass_obj
def allow(invocation: Invocation, /, *, id_: str, host: str, host_service: bool, as_json: bool) -> None:
    """Let a run or kept sandbox that works now reach HOST too; without a port it is 443."""
    change = NetworkChange(host=host, allowed=True, is_host_service=host_service)
    _change(invocation, id_, change, as_json=as_json)


@net.command(short_help="Take a host from one that works now.")
@click.argument("id_", metavar="ID")
@click.argument("host", metavar="HOST[:PORT]")
@json_option
@click.pass_obj
def deny(invocation: Invocation, /, *, id_: str, host: str, as_json: bool) -> None:
    """Take HOST from a run or kept sandbox that works now, and cut its connections there."""
    _change(invocation, id_, NetworkChange(host=host, allowed=False), as_json=as_json)


net.add_command(propose)
net.add_command(accept)


def _change(invocation: Invocation, id_: str, change: NetworkChange, *, as_json: bool) -> None:
    record = invocation.call(lambda service: service.change_network(id_, change))
    if as_json:
        print_json(record)
        return
    reached = ", ".join(record.allow) or "nothing"
    but = f", but not {', '.join(record.deny)}" if record.deny else ""
    note(f"{record.of} reaches {reached}{but}")


def _row(record: ConnectionRecord) -> tuple[str, ...]:
    return (
        f"{record.at:%Y-%m-%d %H:%M:%S}",
        _where(record),
        record.address or "",
        record.rule,
        record.way,
        size(record.sent),
        size(record.received),
        duration(record.duration_s),
        str(record.count),
        ", ".join(record.secrets),
        record.refused or "",
    )


def _where(record: ConnectionRecord) -> str:
    return f"{record.host}:{record.port}" if record.port else record.host


def _refusal(record: ConnectionRecord) -> str:
    return one_line(f"{_where(record) or 'a request'} was refused: {record.told or record.refused}", 600)
