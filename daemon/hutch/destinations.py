"""Hosts, ports and patterns of them, each read once: what was read is what is compared and dialled. Pure."""

import re
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address

TLS_PORT = 443  # of a pattern that names none
SANDBOXES_HOST = "hutch.internal"  # what the daemon is called inside a sandbox that has a door to it

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_MAX_NAME = 253
_HOW = "a host is a plain name such as 'api.example.org': no URL, no user, no path"


class NotADestinationError(ValueError):
    """This text names no host or port; says how one is written."""


@dataclass(frozen=True, slots=True, order=True)
class Pattern:
    """Destinations that a rule speaks of. Made by the readers below, so its form is checked."""

    host: str  # lower-case ASCII, no final dot; or an address in 127.0.0.0/8
    port: int | None  # None: every port
    is_below: bool = False  # every name below `host`, and not `host` itself; of the empty one every name

    def covers(self, host: str, port: int) -> bool:
        return self.port in (None, port) and self.covers_host(host)

    def includes(self, other: "Pattern") -> bool:
        """Whether all that `other` covers is covered."""
        is_same = (self.host, self.is_below) == (other.host, other.is_below)
        has_hosts = is_same or (self.is_below and self.covers_host(other.host))
        return has_hosts and self.port in (None, other.port)

    def covers_host(self, host: str) -> bool:
        if not self.is_below:
            return host == self.host
        return not is_address(host) and (not self.host or host.endswith(f".{self.host}"))

    def __str__(self) -> str:
        host = f"*.{self.host}".rstrip(".") if self.is_below else self.host
        return f"{host}:{'*' if self.port is None else self.port}"


EVERY = Pattern("", None, is_below=True)


def read_host(text: str) -> str:
    """Return a name as it is compared: lower-case ASCII without its final dot; or an address 127.x.x.x.

    Raises NotADestinationError, also for every other address in whatever spelling.
    """
    host = text.lower().removesuffix(".")
    if not text.isascii():
        raise NotADestinationError("write the name in its ASCII form, as in 'xn--bcher-kva.example'")
    if is_address(host):
        if not is_loopback(host):
            raise NotADestinationError("an address is no name: ask for the host by its name")
    elif len(host) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise NotADestinationError(_HOW)
    return host


def read_port(text: str) -> int:
    """Raises NotADestinationError."""
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise NotADestinationError("a port is a number from 1 to 65535")
    return int(text)


def read_destination(text: str) -> tuple[str, int]:
    """Read "host:port". Raises NotADestinationError."""
    host, _, port = text.rpartition(":")
    return read_host(host), read_port(port)


def read_pattern(text: str) -> Pattern:
    """Read "host", "host:port", "*.host" or "*.host:port"; without a port it is 443's.

    Raises NotADestinationError, also for a wildcard under which anybody can have a name.
    """
    pattern = _read(text, TLS_PORT)
    if pattern.is_below:
        _check_breadth(pattern.host)
    return pattern


def read_bound(text: str) -> Pattern:
    """Read the same for what takes away: as broad as one likes, and without a port it is every port's."""
    return _read(text, None)


def _read(text: str, default: int | None) -> Pattern:
    named, colon, port = text.partition(":")
    host = named.removeprefix("*.")
    if host.endswith("."):
        raise NotADestinationError("write the name without its final dot")
    return Pattern(read_host(host), read_port(port) if colon else default, is_below=host != named)


def is_address(host: str) -> bool:
    """Whether some program reads this as an address: in brackets, or ending in a number in any base."""
    last = host.removesuffix(".").rpartition(".")[2]
    return ":" in host or "[" in host or last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def is_loopback(host: str) -> bool:
    """Whether it is an address in 127.0.0.0/8."""
    try:
        return IPv4Address(host).is_loopback
    except ValueError:
        return False


def _check_breadth(host: str) -> None:
    if is_address(host):
        raise NotADestinationError("an address has no names below it")
    if "." not in host:
        raise NotADestinationError("too broad: a wildcard needs two labels, as in '*.example.org'")
    if _is_public_suffix(host):
        raise NotADestinationError(
            f"too broad: anybody can have a name below {host}; name the hosts one by one"
        )


@cache
def _is_public_suffix(host: str) -> bool:
    from publicsuffixlist import PublicSuffixList  # carries the list with it; read only where it is needed

    return bool(PublicSuffixList().is_public(host))
