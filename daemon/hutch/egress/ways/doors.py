"""What waits inside for a run's programs: doors, the name server, the proxy. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hutch.destinations import TLS_PORT, Pattern, is_address
from hutch.egress.rules import Missing, Network, judge
from hutch.errors import HutchError
from hutch_launchers.spec import EVERY_ADDRESS, Door, Listener
from hutch_launchers.system_view import HOSTNAME

LOOPBACK = "127.0.0.1"
RESOLVER = "127.0.0.53"

_DNS_PORT = 53
_PROXY_PORT = 3128
_EVERYWHERE = (80, TLS_PORT)  # of a rule that stands for every port
_ITSELF = ("localhost", LOOPBACK, "127.0.0.0/8", "::1", "0.0.0.0", HOSTNAME)  # noqa: S104 - as programs write it
_MAX_DOORS = 254  # names of one run: the last part of 127.1.0.n


@dataclass(frozen=True, slots=True)
class Layout:
    """What is made inside. A listener at every address serves whatever name has the one that was dialled."""

    doors: tuple[Door, ...]
    proxy: Listener
    name_servers: tuple[Listener, Listener]  # UDP and TCP
    listeners: tuple[Listener, ...]  # of doors

    @property
    def made(self) -> tuple[Listener, ...]:
        return (*self.name_servers, self.proxy, *self.listeners)


def lay_out(network: Network) -> Layout:
    """Say what is made for a network. Raises HutchError `grant_invalid`.

    A door has a listener at its own address and port, so that a program inside may still listen at this port
    of 127.0.0.1. Where names are not known beforehand, and for TLS always, because a network may be replaced
    while the run lives, one listener at every address takes their place.
    """
    doors = allot_doors(network)
    everywhere = {TLS_PORT} | {port for rule in network.allow for port in _open_ports(rule.pattern)}
    own = {Listener(d.address, d.port) for d in doors if d.port not in everywhere}
    taken = everywhere | {door.port for door in doors if door.address == LOOPBACK}
    return Layout(
        doors=doors,
        proxy=Listener(LOOPBACK, next(p for p in range(_PROXY_PORT, 1 << 16) if p not in taken)),
        name_servers=(Listener(RESOLVER, _DNS_PORT, is_udp=True), Listener(RESOLVER, _DNS_PORT)),
        listeners=(
            *(Listener(EVERY_ADDRESS, port) for port in sorted(everywhere)),
            *sorted(own, key=lambda each: (each.address, each.port)),
        ),
    )


def proxy_variables(network: Network) -> Mapping[str, str]:
    """Return the environment by which programs find the proxy, in both spellings; empty: there is none."""
    if not network:
        return {}
    url = f"http://{LOOPBACK}:{lay_out(network).proxy.port}"
    services = {rule.pattern.host for rule in network.allow if rule.is_host_service}
    direct = ",".join(dict.fromkeys((*_ITSELF, *sorted(services))))
    named = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "ALL_PROXY": url, "NO_PROXY": direct}
    return {**named, **{name.lower(): value for name, value in named.items()}}


def allot_doors(network: Network) -> tuple[Door, ...]:
    """Give every destination that is granted by its name an address inside, one to a name.

    A loopback address stands for itself, and `localhost` for 127.0.0.1: a program inside may have either
    built in. Of two rules that would be the same door, the first counts. Raises HutchError `grant_invalid`.
    """
    addresses: dict[str, str] = {"localhost": LOOPBACK}
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


def _open_ports(pattern: Pattern) -> tuple[int, ...]:
    """The ports at which names that are not known yet are waited for; not the name server's."""
    if not pattern.is_below or pattern.port == _DNS_PORT:
        return ()
    return _EVERYWHERE if pattern.port is None else (pattern.port,)
