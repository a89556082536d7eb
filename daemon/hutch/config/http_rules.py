"""Which requests are let through to a host: `http` of a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hutch.config.kinds import Each, Text, WrongValueError
from hutch.config.network_kinds import Hosts, HostService
from hutch.destinations import Pattern

METHOD = Text(r"[A-Z]{1,20}", "an HTTP method in capitals")
PATH = Text(r"(/[\x21-\x7e]*|\*)", 'a path such as "/v1/*"')


@dataclass(frozen=True, slots=True)
class HttpRule:
    """Requests by these methods to these paths; none of either: all."""

    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{'/'.join(self.methods) or 'every method'} {' '.join(self.paths) or '*'}"


HttpRules = Mapping[Pattern, tuple[HttpRule, ...]]


@dataclass(frozen=True, slots=True)
class RequestRules:
    """A table from hosts to the requests that are let through to them: one rule, or a list of them."""

    def read(self, value: object) -> HttpRules:
        if not isinstance(value, dict):
            example = '{"api.example.org" = {methods = ["GET"], paths = ["/v1/*"]}}'
            raise WrongValueError(f"must be a table such as {example}, not {value!r}")
        return MappingProxyType({_host(host): _rules(rules) for host, rules in value.items()})


def _host(text: object) -> Pattern:
    try:
        return Hosts().read(text)
    except WrongValueError:
        return HostService().read(text)


def _rules(value: object) -> tuple[HttpRule, ...]:
    return tuple(_rule(each) for each in (value if isinstance(value, list) else [value]))


def _rule(value: object) -> HttpRule:
    kinds = {"methods": METHOD, "paths": PATH}
    if not isinstance(value, dict) or not value.keys() <= kinds.keys():
        raise WrongValueError(f"must give {' and '.join(kinds)}, not {value!r}")
    methods, paths = (tuple(map(str, Each(kinds[key]).read(value.get(key, [])))) for key in kinds)
    return HttpRule(methods, paths)
