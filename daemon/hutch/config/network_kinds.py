"""The kinds of value of a network: patterns of hosts and ports, and what is bounded by them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from hutch.config.kinds import Size, WrongValueError
from hutch.destinations import NotADestinationError, Pattern, is_address, read_bound, read_pattern
from hutch.origins import Origin, read_origin

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Hosts:
    """A pattern of public hosts: "host", "host:port", "*.host", "*.host:port"; without a port it is 443's."""

    def read(self, value: object) -> Pattern:
        pattern = _read(read_pattern, value, "api.example.org:443")
        if is_address(pattern.host):
            raise WrongValueError(f"must not be {value!r}: this machine's own ports are host_services")
        return pattern


@dataclass(frozen=True, slots=True)
class DeniedHosts:
    """The same for what is denied: as broad as one likes, and without a port it is every port's."""

    def read(self, value: object) -> Pattern:
        return _read(read_bound, value, "*.example.org")


@dataclass(frozen=True, slots=True)
class HostService:
    """A service of this host or of its private network: "host:port"."""

    def read(self, value: object) -> Pattern:
        pattern = _read(read_pattern, value, "localhost:5432")
        if pattern.is_below or ":" not in str(value):
            raise WrongValueError(f"must be a service such as 'localhost:5432', not {value!r}")
        return pattern


@dataclass(frozen=True, slots=True)
class Origins:
    """Hosts whose requests are read: as `Hosts`, of https, or "http://host:port"."""

    def read(self, value: object) -> Origin:
        return _read(read_origin, value, "api.example.org")


@dataclass(frozen=True, slots=True)
class ByteBudgets:
    """A table from patterns of hosts to the bytes, both ways together, that may pass to them in one run."""

    def read(self, value: object) -> Mapping[Pattern, int]:
        if not isinstance(value, dict):
            raise WrongValueError(f'must be a table such as {{"*.example.org" = "1GB"}}, not {value!r}')
        budgets = {
            _read(read_bound, text, "*.example.org"): Size(0).read(size) for text, size in value.items()
        }
        return MappingProxyType(budgets)


def _read(reader: Callable[[str], R], value: object, example: str) -> R:
    why = ""
    if isinstance(value, str):
        try:
            return reader(value)
        except NotADestinationError as error:
            why = f": {error}"
    raise WrongValueError(f"must be such as {example!r}, not {value!r}{why}")
