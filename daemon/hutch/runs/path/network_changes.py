"""Other rules for a run that is at work: put in force, and written into its policy."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from hutch.destinations import TLS_PORT, NotADestinationError, Pattern, read_bound, read_pattern
from hutch.egress import InForce, Missing, Network, given, judge, taken
from hutch.errors import HutchError
from hutch_mcp_tools.network_records import NetworkChange, NetworkRecord

logger = logging.getLogger(__name__)


def change_rules(
    of: str, network: InForce, policy: Mapping[str, object], change: NetworkChange, by: str
) -> dict[str, object]:
    """Put other rules in force, and return the policy that says so.

    Raises HutchError `network_unchangeable`, `network_denied`.
    """
    if not network.is_served:
        raise HutchError(
            "network_unchangeable",
            f"{of} was started without a network, so there is no way out that could be opened",
            "start it with --net",
        )
    network.replace(_with(of, network, change))
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    verb = "deny" if not change.allowed else "allow host service" if change.is_host_service else "allow"
    logger.warning("%s network changed by %s: %s %s", of, by, verb, change.host)
    line = f"{now} {by}: {verb} {change.host}"
    return {**policy, "network_changes": [*_changes(policy), line]}


def changed_by(network: Network, change: NetworkChange) -> Network:
    """Return the rules with a change, whatever it comes to. Raises HutchError `network_denied`."""
    pattern = _pattern(change)
    if not change.allowed:
        return taken(network, pattern)
    return given(network, pattern, is_host_service=change.is_host_service)


def network_record(of: str, network: Network, policy: Mapping[str, object]) -> NetworkRecord:
    """What a run may reach now, and what was changed."""
    return NetworkRecord(
        of=of,
        allow=list(map(str, network.allow)),
        deny=list(map(str, network.deny)),
        changes=_changes(policy),
    )


def _with(of: str, in_force: InForce, change: NetworkChange) -> Network:
    """Raises HutchError `network_denied`, `network_unread`."""
    pattern, changed = _pattern(change), changed_by(in_force.network, change)
    if not change.allowed:
        return changed
    judged = judge(changed, pattern.host, pattern.port or 0)
    if not pattern.is_below and isinstance(judged, Missing):
        raise HutchError("network_denied", judged.told, "what denies it would have to go first")
    other = None if pattern.is_below else in_force.beside
    if other and isinstance(other.judge(pattern.host, pattern.port or TLS_PORT), Missing):
        raise HutchError(
            "network_denied",
            f"the run whose agent began {of} may not reach {pattern}",
            "give it to that one first",
        )
    if not pattern.is_below and in_force.is_unread(pattern.host, pattern.port or 0):
        raise HutchError(
            "network_unread",
            f"{pattern} is metered, and {of} was started without it: nobody would count what is asked there",
            "start another one that has it in its network; or take it out of network.NAME.metered",
        )
    return changed


def _pattern(change: NetworkChange) -> Pattern:
    try:
        return read_pattern(change.host) if change.allowed else read_bound(change.host)
    except NotADestinationError as error:
        raise HutchError("network_denied", f"{change.host[:300]!r} is no host: {error}") from None


def _changes(policy: Mapping[str, object]) -> list[str]:
    made = policy.get("network_changes", [])
    return list(map(str, made)) if isinstance(made, list) else []
