"""Doors: the addresses inside by which granted destinations are known. Pure."""

from collections.abc import Iterable

from hutch.destinations import Pattern, is_address
from hutch.egress.rules import Missing, Network, judge
from hutch.errors import HutchError
from hutch_launchers.spec import Door

_MAX_DOORS = 254  # names of one run: the last part of 127.1.0.n


def allot_doors(network: Network) -> tuple[Door, ...]:
    """Give every destination that is granted by its name an address inside, one to a name.

    A loopback address stands for itself, and `localhost` for 127.0.0.1: a program inside may have either
    built in. Of two rules that would be the same door, the first counts. Raises HutchError `grant_invalid`.
    """
    addresses: dict[str, str] = {"localhost": "127.0.0.1"}
    doors: dict[tuple[str, int], Door] = {}
    for host, port in _granted(rule.pattern for rule in network.allow):
        if isinstance(judge(network, host, port), Missing):
            continue
        if is_address(host):
            addresses[host] = host
        elif host not in addresses:
            addresses[host] = f"127.1.0.{len(addresses)}"
        doors.setdefault((addresses[host], port), Door(host, addresses[host], port))
    if len(addresses) > _MAX_DOORS:
        raise HutchError(
            "grant_invalid",
            f"{len(addresses)} hosts are more than one run can be granted by their names",
            f"grant at most {_MAX_DOORS}, or a wildcard",
        )
    return tuple(doors.values())


def _granted(patterns: Iterable[Pattern]) -> list[tuple[str, int]]:
    return [(p.host, p.port) for p in patterns if not p.is_below and p.port is not None]
