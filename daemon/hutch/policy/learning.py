"""What a run has connected to, as the smallest network that would have let it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from hutch.config import Config, Network
from hutch.destinations import TLS_PORT, Pattern

_NAMES = 3  # that were met under a wildcard of the owner's before it is proposed itself


@dataclass(frozen=True, slots=True)
class Met:
    """A destination that some rule let through."""

    host: str
    port: int
    rule: str  # as it is written in records: "host:port", "*.host:port", "*:*"
    address: str | None = None  # that was dialled

    @property
    def written(self) -> str:
        return _short(f"{self.host}:{self.port}")


def smallest(met: Iterable[Met], config: Config) -> Mapping[str, object]:
    """Return the table of a network as the file has it; empty: there is nothing to allow.

    What the owner's networks say besides of these hosts goes with them: it bounds them there too.
    """
    networks = [config.networks[name] for name in _granted(config) if name in config.networks]
    services = {str(pattern) for network in networks for pattern in network.host_services}
    found = sorted(set(met), key=lambda each: (each.host, each.port))
    public = [each for each in found if not _is_service(each, services)]
    allow = _hosts(public)
    table = {
        "allow": allow,
        "host_services": sorted({f"{each.host}:{each.port}" for each in found if each not in public}),
        "deny": sorted({_denied(p) for n in networks for p in n.deny if _lies_below(p, allow)}),
        **_bounds(networks, found),
    }
    return {key: value for key, value in table.items() if value}


def _granted(config: Config) -> list[str]:
    agents = (name for agent in config.agents.values() for name in sorted(agent.networks))
    return list(dict.fromkeys((*config.policy.networks, *agents)))


def _is_service(met: Met, services: set[str]) -> bool:
    return met.rule in services or (met.address is not None and not ip_address(met.address).is_global)


def _hosts(met: Sequence[Met]) -> list[str]:
    """A wildcard where the owner has one and enough names fall under it; else the names themselves."""
    below: dict[str, set[str]] = {}
    for each in met:
        if each.rule.startswith("*."):
            below.setdefault(each.rule, set()).add(each.host)
    wide = {rule for rule, hosts in below.items() if len(hosts) >= _NAMES}
    return sorted({_short(each.rule) if each.rule in wide else each.written for each in met})


def _bounds(networks: Sequence[Network], met: Sequence[Met]) -> dict[str, object]:
    """What the owner's networks bound of these destinations, or count."""

    def is_met(pattern: Pattern) -> bool:
        return any(pattern.covers(each.host, each.port) for each in met)

    max_bytes: dict[str, int] = {}
    http: dict[str, list[dict[str, list[str]]]] = {}
    for network in networks:
        for pattern, most in network.max_bytes.items():
            if is_met(pattern):
                max_bytes[_denied(pattern)] = min(most, max_bytes.get(_denied(pattern), most))
        for pattern, rules in network.http.items():
            if is_met(pattern):
                said = [{"methods": list(rule.methods), "paths": list(rule.paths)} for rule in rules]
                http.setdefault(_short(str(pattern)), []).extend(said)
    metered = {_short(str(o)) for n in networks for o in n.metered if is_met(o.pattern)}
    return {"max_bytes": max_bytes, "http": http, "metered": sorted(metered)}


def _lies_below(denied: Pattern, allow: Sequence[str]) -> bool:
    """Whether something that is denied would be let through by a proposed wildcard."""
    wide = [text.removeprefix("*.").partition(":")[0] for text in allow if text.startswith("*.")]
    return any(f".{denied.host}".endswith(f".{host}") or denied.covers_host(f"x.{host}") for host in wide)


def _short(text: str) -> str:
    """As people write it: without the port where it is the one of TLS."""
    return text if text.startswith("http:") else text.removesuffix(f":{TLS_PORT}")


def _denied(pattern: Pattern) -> str:
    """The same for what stands for every port where it names none."""
    return str(pattern).removesuffix(":*")
