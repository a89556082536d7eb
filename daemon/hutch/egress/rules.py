"""What may be dialled: grants, their doors, and the addresses that a granted name may stand for. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from hutch.errors import HutchError
from hutch_launchers.spec import Door

Address = IPv4Address | IPv6Address

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_MAX_NAME = 253
_MAX_DOORS = 254  # names of one run: the last part of 127.1.0.n

# A cloud's metadata service hands out the machine's own credentials: nobody is ever let through to it. The
# third is Azure's, a public address; the fourth Alibaba's, the fifth Oracle's.
_METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"))
)
# `is_global` differs between Python's versions in what is said here, or lets through forms of IPv6 that some
# router turns back into an IPv4 address of its choice: compatible, NAT64, 6to4, Teredo.
_NEVER_PUBLIC = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2001::/23"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
    IPv6Network("fec0::/10"),
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One destination that a sandbox may reach. Made by `parse_grant` only, so its form is checked."""

    host: str  # lower-case ASCII name, or an address in 127.0.0.0/8
    port: int
    is_host_service: bool = False  # may stand for a loopback or private address: the owner named it

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Refusal(StrEnum):
    """Why a connection was not made."""

    ADDRESS = "address"  # the name stands for addresses that are never dialled
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    SERVER_NAME = "server_name"  # TLS to another name than the granted one, or to none, or no TLS
    TOO_MANY = "too_many"  # connections of this run at once

    @property
    def told(self) -> str:
        """The same for people, with what mends it."""
        return _TOLD[self]


_TOLD = {
    Refusal.ADDRESS: "its name stands for an address that is never dialled; one of this machine or its own "
    "network is granted under host_services",
    Refusal.UNRESOLVED: "this host cannot resolve its name; is it online?",
    Refusal.UNREACHABLE: "this host cannot reach it; is it online, and does somebody listen there?",
    Refusal.SERVER_NAME: "the client named another server, or spoke no TLS",
    Refusal.TOO_MANY: "this run has too many connections at once",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a run, at its end; of a run that makes very many, the sum of `count` alike."""

    run_id: str
    host: str
    port: int
    address: str | None  # dialled; None: nothing was
    started_at: datetime
    duration_s: float
    bytes_out: int  # from the sandbox
    bytes_in: int
    refused: Refusal | None = None
    count: int = 1


def parse_grant(text: str, *, is_host_service: bool = False) -> Grant:
    """Read "host:port". Raises HutchError `grant_invalid`.

    What is parsed here is what is compared and resolved later: one reading, so nobody else's can differ.
    """
    host, _, port = text.rpartition(":")
    host = host.lower()
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise _invalid(text, "write it as HOST:PORT with a port from 1 to 65535")
    if not host.isascii():
        raise _invalid(text, "write the name in its ASCII form, as in 'xn--bcher-kva.example'")
    if _is_address(host):
        _check_address(text, host, is_host_service=is_host_service)
    elif len(host) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise _invalid(text, "a host is a plain name such as 'api.example.org': no URL, no '*', no final dot")
    return Grant(host, int(port), is_host_service)


def allot_doors(grants: Sequence[Grant]) -> tuple[Door, ...]:
    """Give every grant a listener's address inside, one address to a name. Raises HutchError `grant_invalid`.

    A loopback address stands for itself, and `localhost` for 127.0.0.1: a program inside may have either
    built in. Of two grants that would be the same door, the first counts.
    """
    addresses: dict[str, str] = {"localhost": "127.0.0.1"}
    doors: dict[tuple[str, int], Door] = {}
    for grant in grants:
        if _is_address(grant.host):
            addresses[grant.host] = grant.host
        elif grant.host not in addresses:
            addresses[grant.host] = f"127.1.0.{len(addresses)}"
        address = addresses[grant.host]
        doors.setdefault((address, grant.port), Door(grant.host, address, grant.port))
    if len(addresses) > _MAX_DOORS:
        raise HutchError(
            "grant_invalid",
            f"{len(addresses)} hosts are more than one run can be granted",
            f"grant at most {_MAX_DOORS}",
        )
    return tuple(doors.values())


def vetted(addresses: Iterable[str], grant: Grant) -> tuple[Address, ...]:
    """Return those of a name's addresses that may be dialled, in their order."""
    parsed = dict.fromkeys(ip_address(address.partition("%")[0]) for address in addresses)
    return tuple(address for address in parsed if _may_dial(address, grant))


def _may_dial(address: Address, grant: Grant) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return False  # it would be dialled as IPv4, whose rules it has just gone past
    if address in _METADATA or address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address) and address == IPv4Address("255.255.255.255"):
        return False
    return grant.is_host_service or _is_public(address)


def _is_public(address: Address) -> bool:
    return address.is_global and not any(address in network for network in _NEVER_PUBLIC)


def _is_address(host: str) -> bool:
    """Whether some program reads this as an address: in brackets, or ending in a number in any base."""
    last = host.rpartition(".")[2]
    return ":" in host or "[" in host or last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _check_address(text: str, host: str, *, is_host_service: bool) -> None:
    try:
        address = IPv4Address(host)
    except ValueError:
        raise _invalid(text, "of addresses, only 127.x.x.x in its usual form is known; give a name") from None
    if not address.is_loopback:
        raise _invalid(text, "inside, only a name or a 127.x.x.x address can be a door; give it a name")
    if not is_host_service:
        raise _invalid(text, "this machine's own ports are granted under `host_services`")


def _invalid(text: str, hint: str) -> HutchError:
    return HutchError("grant_invalid", f"{text[:300]!r} is not a destination that can be granted", hint)
