"""What a model reads of the connections of a run or session: a line a destination."""

from collections.abc import Mapping, Sequence

from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.text import one_line

_SHOWN = 10  # destinations that were reached, and as many that were refused


def passed_lines(traffic: Sequence[TrafficRecord]) -> list[str]:
    """What was reached."""
    return _bounded([_passed(each) for each in traffic if not each.is_refused], "network")


def refused_lines(refused: Mapping[str, str]) -> list[str]:
    """What was not, with what was missing and how to ask for it; the newest."""
    told = [f"note: {_name(where)} was refused: {one_line(why, 400)}\n" for where, why in refused.items()]
    return _bounded(told[::-1], "note")[::-1]


def refusals(traffic: Sequence[TrafficRecord]) -> dict[str, str]:
    """Return what was refused, "host:port" -> why, the oldest first."""
    return {each.where: each.told for each in reversed(traffic) if each.is_refused}


def _passed(each: TrafficRecord) -> str:
    times = "once" if each.count == 1 else f"{each.count} times"
    by = f" by {one_line(each.rule, 300)}" if each.rule else ""
    return f"network: {_name(each.where)}{by}: {times}, {each.sent} bytes out, {each.received} in\n"


def _name(where: str) -> str:
    return one_line(where, 300)


def _bounded(lines: list[str], head: str) -> list[str]:
    if len(lines) <= _SHOWN:
        return lines
    return [*lines[:_SHOWN], f"{head}: and {len(lines) - _SHOWN} or more other destinations\n"]
