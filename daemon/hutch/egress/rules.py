"""What a run may reach: the rules of its network, and the judgement of one destination by them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hutch.config import Network as Configured
from hutch.config.http_rules import HttpRule, HttpRules
from hutch.config.profiles import NETWORKS
from hutch.destinations import TLS_PORT, Pattern
from hutch.origins import Origin


@dataclass(frozen=True, slots=True)
class Rule:
    """What is let through, or denied, and which configured network says so."""

    pattern: Pattern
    network: str = ""  # its name; empty: the caller asked for this host by itself
    is_host_service: bool = False  # may stand for a loopback or private address: the owner named it
    socket: Path | None = None  # a unix socket of this host, to which it leads in place of an address

    @property
    def is_taken(self) -> bool:
        """Of what denies: that its owner took it from this run, while it lives."""
        return not self.network

    def __str__(self) -> str:
        return str(self.pattern)


@dataclass(frozen=True, slots=True)
class Missing:
    """No rule lets this through, or one denies it."""

    host: str
    port: int
    denied: Rule | None = None
    granting: tuple[str, ...] = ()  # configured networks that would let it through

    @property
    def rule(self) -> str:
        """The rule that was missing, as it is written in the configuration."""
        return self.host if self.port == TLS_PORT else f"{self.host}:{self.port}"

    @property
    def told(self) -> str:
        """Say for people what is in the way, and how to ask for it."""
        if self.denied is not None and self.denied.is_taken:
            return f"{self.host}:{self.port} was taken from this run by its owner: {self.denied}"
        if self.denied is not None:
            written = str(self.denied).removesuffix(":*")
            by = f'deny = ["{written}"] of [network.{self.denied.network}]'
            return f"{self.host}:{self.port} is denied by {by}"
        ways = [f"--net {name}" for name in self.granting] or [f"--net allow:{self.rule}"]
        return (
            f"no rule allows {self.host}:{self.port}; ask for it with {' or '.join(ways)}, where the "
            f"daemon's owner grants that; or he adds "
            f'allow = ["{self.rule}"] to a [network.NAME]'
        )


@dataclass(frozen=True, slots=True)
class Network:
    """All that one run may reach: the union of the networks it asked for. What is denied by one is denied."""

    allow: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()
    max_bytes: Mapping[Pattern, int] = field(default_factory=dict)  # both ways together, for the whole run
    http: HttpRules = field(default_factory=dict)  # hosts to which these requests alone are let through
    metered: tuple[Origin, ...] = ()  # where models answer, whose usage is counted from the start
    models: tuple[Origin, ...] = ()  # all of them that the configuration knows, reached or not
    is_learning: bool = False  # its ways are open to whatever is tried, so that it is recorded
    known: Mapping[str, Configured] = field(default_factory=dict, repr=False, compare=False)  # for advice

    def __bool__(self) -> bool:
        """Whether there are ways out of its sandbox, wherever they lead."""
        return bool(self.allow) or self.is_learning


def judge(network: Network, host: str, port: int) -> Rule | Missing:
    """Say by which rule a destination is let through. `host` was read by `destinations.read_host`."""
    for rule in network.deny:
        if rule.pattern.covers(host, port):
            return Missing(host, port, denied=rule)
    for rule in network.allow:
        if rule.pattern.covers(host, port):
            return rule
    return Missing(host, port, granting=_granting(network.known, host, port))


def http_rules(network: Network, host: str, port: int) -> tuple[HttpRule, ...] | None:
    """Return the rules of requests to a host, one of which must let each through; None: all may pass."""
    found = [rules for pattern, rules in network.http.items() if pattern.covers(host, port)]
    return sum(found, ()) if found else None


def must_be_read(network: Network, host: str, port: int) -> bool:
    """Whether a host may not be carried blindly: its usage is counted, or its requests are judged."""
    is_model = any(origin.pattern.covers(host, port) for origin in network.models)
    return is_model or http_rules(network, host, port) is not None


def has_name(network: Network, host: str) -> bool:
    """Whether some port of this host is let through."""
    ports = {rule.pattern.port or TLS_PORT for rule in network.allow if rule.pattern.covers_host(host)}
    return any(isinstance(judge(network, host, port), Rule) for port in ports)


def union(names: Iterable[str], known: Mapping[str, Configured], hosts: Iterable[Pattern] = ()) -> Network:
    """Return what the configured networks of these names, and further single hosts, make together.

    An exact rule comes before a wildcard, and a host service before a public host of the same name.
    """
    chosen = {name: known[name] for name in dict.fromkeys(names)}
    allow = [Rule(p, name, is_host_service=True) for name, n in chosen.items() for p in n.host_services]
    allow += [Rule(pattern, name) for name, n in chosen.items() for pattern in n.allow]
    allow += [Rule(pattern) for pattern in hosts]
    budgets: dict[Pattern, int] = {}
    for each in chosen.values():
        for pattern, most in each.max_bytes.items():
            budgets[pattern] = min(most, budgets.get(pattern, most))
    http: dict[Pattern, tuple[HttpRule, ...]] = {}
    for each in chosen.values():
        for pattern, rules in each.http.items():
            http[pattern] = http.get(pattern, ()) + rules
    return Network(
        allow=tuple(sorted(dict.fromkeys(allow), key=lambda rule: rule.pattern.is_below)),
        deny=tuple(Rule(pattern, name) for name, n in chosen.items() for pattern in n.deny),
        max_bytes=budgets,
        http=http,
        metered=_metered(known, allow),
        models=_origins(known.values()),
        known=known,
    )


def _metered(known: Mapping[str, Configured], allow: Iterable[Rule]) -> tuple[Origin, ...]:
    """Models are metered by whichever rule they are reached: a budget is not passed by under another one.

    Where one is, so are those that everybody knows: the owner may give them to the run while it lives.
    """
    reached = [rule.pattern for rule in allow]
    found = tuple(
        origin
        for origin in _origins(known.values())
        if any(one.includes(origin.pattern) or origin.pattern.includes(one) for one in reached)
    )
    others = _origins(known[name] for name in NETWORKS if name in known) if found else ()
    return tuple(dict.fromkeys((*found, *others)))


def _origins(networks: Iterable[Configured]) -> tuple[Origin, ...]:
    return tuple(dict.fromkeys(origin for each in networks for origin in each.metered))


def _granting(known: Mapping[str, Configured], host: str, port: int) -> tuple[str, ...]:
    """Networks that name this host; not those that let through whatever there is."""
    return tuple(
        name
        for name, each in known.items()
        if any(pattern.host and pattern.covers(host, port) for pattern in (*each.allow, *each.host_services))
    )
