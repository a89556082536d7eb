"""Which of a name's addresses may be dialled. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# A cloud's metadata service hands out the machine's own credentials: nobody is ever let through to it. The
# last are Azure's, a public address, Alibaba's and Oracle's.
_AMAZON, _GOOGLE = "fd00:ec2::254", "fd20:ce::254"
_METADATA = frozenset(
    map(ip_address, ("169.254.169.254", _AMAZON, _GOOGLE, "168.63.129.16", "100.100.100.200", "192.0.0.192"))
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


def vetted(addresses: Iterable[str], *, is_host_service: bool) -> tuple[Address, ...]:
    """Return those of a name's addresses that may be dialled, in their order."""
    parsed = dict.fromkeys(ip_address(address.partition("%")[0]) for address in addresses)
    return tuple(address for address in parsed if _may_dial(address, is_host_service=is_host_service))


def _may_dial(address: Address, *, is_host_service: bool) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return False  # it would be dialled as IPv4, whose rules it has just gone past
    if address in _METADATA or address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv4Address) and address == IPv4Address("255.255.255.255"):
        return False
    return is_host_service or _is_public(address)


def _is_public(address: Address) -> bool:
    return address.is_global and not any(address in network for network in _NEVER_PUBLIC)
