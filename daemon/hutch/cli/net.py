"""`hutch net`: what went out of sandboxes, and what was refused there."""

from collections.abc import Sequence

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import counted, duration, json_option, note, print_json, print_table
from hutch_launchers.sizes import size
from hutch_mcp_tools.network_records import ConnectionRecord, TrafficRecord
from hutch_mcp_tools.text import one_line

_HEADS = ("TIME", "TO", "ADDRESS", "RULE", "BY", "OUT", "IN", "TOOK", "COUNT", "REFUSED")
_MOST = 10_000


@click.group()
def net() -> None:
    """What went out of sandboxes, and what was refused there."""


@net.command()
@click.argument("id_", metavar="ID")
@click.option("-n", "--limit", type=click.IntRange(1, _MOST), default=1000, show_default=True)
@json_option
@click.pass_obj
def log(invocation: Invocation, /, *, id_: str, limit: int, as_json: bool) -> None:
    """List the connections of a run or session in their order, each at its end, and every refusal."""
    records = invocation.call(lambda service: service.network_log(id_, limit))
    if as_json:
        print_json(records)
        return
    print_table(_HEADS, map(_row, records))
    for told in dict.fromkeys(_refusal(record) for record in records if record.refused):
        note(told)


def traffic_fields(traffic: Sequence[TrafficRecord]) -> tuple[str, ...]:
    """What was reached, for `print_fields`."""
    return tuple(
        f"{each.where} by {each.rule}: {counted(each.count, 'connection')}, {size(each.sent)} out,"
        f" {size(each.received)} in, {duration(each.duration_s)}"
        for each in traffic
        if not each.is_refused
    )


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
        record.refused or "",
    )


def _where(record: ConnectionRecord) -> str:
    return f"{record.host}:{record.port}" if record.port else record.host


def _refusal(record: ConnectionRecord) -> str:
    return one_line(f"{_where(record) or 'a request'} was refused: {record.told or record.refused}", 600)
