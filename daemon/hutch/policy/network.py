"""Which network a request gets: configured ones by name, and single hosts where they are granted. Pure."""

import re
from collections.abc import Collection
from dataclasses import replace

from hutch.config import Config
from hutch.config.profiles import NETWORKS
from hutch.destinations import NotADestinationError, Pattern, read_pattern
from hutch.egress import Network, union
from hutch.errors import HutchError
from hutch.policy.granting import how_to_grant

_HOSTS = "allow:"
_LEARN = "learn"
_HOW = "write networks by name with commas between them, and hosts last, as in python,allow:api.example.org"


def grant_network(asked: str | None, config: Config, networks: Collection[str]) -> Network:
    """Read "none", or names and then "allow:HOST[:PORT]", with commas. `networks` may be asked for by name.

    "learn" stands for all that may be asked for.

    Raises HutchError `network_denied`.
    """
    if asked == _LEARN:
        names = sorted(name for name in networks if name in config.networks)
        return replace(union(names, config.networks, config.policy.network_hosts), is_learning=True)
    names, hosts = _read(asked or "none")
    for name in names:
        if name not in networks or name not in config.networks:
            way = _way_to_network(name, config)
            raise _not_granted(f"network {name!r} is not granted", way, config, networks)
    for host in hosts:
        if not any(pattern.includes(host) for pattern in config.policy.network_hosts):
            way = how_to_grant(host, "network_hosts", config)
            raise _not_granted(f"the host {host} is not granted", way, config, networks)
    told = {name: config.networks[name] for name in config.networks if name in {*networks, *NETWORKS}}
    return replace(union(names, config.networks, hosts), known=told)  # not what others may ask for


def _read(asked: str) -> tuple[list[str], list[Pattern]]:
    names: list[str] = []
    hosts: list[Pattern] = []
    for item in re.split(r"[\s,]+", asked.strip(", \t")):
        if item.startswith(_HOSTS) or hosts:
            hosts.append(_host(item.removeprefix(_HOSTS)))
        elif item != "none":
            names.append(item)
    return names, hosts


def _host(text: str) -> Pattern:
    try:
        return read_pattern(text)
    except NotADestinationError as error:
        raise HutchError("network_denied", f"{text[:300]!r} is no host: {error}", _HOW) from None


def _not_granted(what: str, way: str, config: Config, networks: Collection[str]) -> HutchError:
    granted = ["none", *sorted(name for name in networks if name in config.networks)]
    granted += [f"allow:{pattern}" for pattern in config.policy.network_hosts]
    return HutchError("network_denied", what, f"granted here: {', '.join(granted)}; {way}")


def _way_to_network(name: str, config: Config) -> str:
    """Of a name that is not built in it is not told whether the owner has it."""
    if name in NETWORKS and name not in config.policy.networks:
        return how_to_grant(name, "networks", config)
    if "." in name:
        return f"a single host is written allow:{name}"
    return "the owner makes others as [network.NAME], and grants them in policy.networks: docs/network.md"
