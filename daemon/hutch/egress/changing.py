"""What the owner of a run gives it and takes from it while it lives. Pure."""

from dataclasses import replace

from hutch.destinations import Pattern
from hutch.egress.rules import Network, Rule


def given(network: Network, pattern: Pattern, *, is_host_service: bool = False) -> Network:
    """Let a destination through too, also one that was taken. What the configuration denies stays denied."""
    allow = (*network.allow, Rule(pattern, is_host_service=is_host_service))
    return replace(
        network,
        allow=tuple(
            sorted(dict.fromkeys(allow), key=lambda each: (each.pattern.is_below, not each.is_host_service))
        ),
        deny=tuple(
            each for each in network.deny if not (each.is_taken and _same_host(each.pattern, pattern))
        ),
    )


def taken(network: Network, pattern: Pattern) -> Network:
    """Let nothing of a pattern through any more, whatever grants it."""
    return replace(network, deny=tuple(dict.fromkeys((*network.deny, Rule(pattern)))))


def _same_host(one: Pattern, other: Pattern) -> bool:
    return (one.host, one.is_below) == (other.host, other.is_below)
