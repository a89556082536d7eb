"""The part of the service that is about the ways out of sandboxes: what passed there, and what may."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from hutch.destinations import NotADestinationError, read_bound, read_pattern
from hutch.egress import InForce, Missing, Network, given, judge, taken
from hutch.errors import HutchError
from hutch.runs.agent_sessions import AgentSessions
from hutch.runs.answers import answers
from hutch.runs.kept_sessions import KeptSessions
from hutch.runs.lookup import find_session
from hutch.runs.runs import Runs
from hutch.runs.wire import connection_record
from hutch.state import Run, Session
from hutch_mcp_tools.network_records import ConnectionRecord, NetworkChange, NetworkRecord

_MOST = 10_000  # connections in one answer

logger = logging.getLogger(__name__)


class Networking:
    """The gate has checked who asks."""

    _runs: Runs
    _agents: AgentSessions
    _kept: KeptSessions
    _principal: str

    @answers
    async def network_log(self, of: str, limit: int = 1000) -> list[ConnectionRecord]:
        found = await self._run_or_session(of)
        limit = max(1, min(limit, _MOST))
        return [connection_record(each) for each in await self._runs.rooms.state.connections(found, limit)]

    @answers
    async def change_network(self, of: str, change: NetworkChange) -> NetworkRecord:
        found = await self._run_or_session(of)
        session_id = found.id if isinstance(found, Session) else found.session_id
        live = self._agents.turns.of(found.id) if isinstance(found, Session) else self._runs.live(found.id)
        if kept := self._kept.at_work(session_id):
            policy = self._changed(kept.session_id, kept.network, kept.policy, change)
            kept.tell(policy)
            changed, network, lives = kept.session_id, kept.network, list(kept.running.values())
        elif live is not None and live.process is not None:
            policy = self._changed(live.id, live.network, live.record.policy, change)
            live.change(policy=policy)
            changed, network, lives = live.id, live.network, [live]
        else:
            raise HutchError(
                "network_unchangeable", f"{found.id} is not at work", "see what is: hutch ps; hutch sessions"
            )
        for each in lives:  # at once: its record says so after a crash too
            await self._runs.rooms.state.put_run(each.record)
        return _record(changed, network.network, policy)

    def _changed(
        self, of: str, network: InForce, policy: Mapping[str, object], change: NetworkChange
    ) -> dict[str, object]:
        """Put other rules in force, and return the policy that says so."""
        if not network.is_served:
            raise HutchError(
                "network_unchangeable",
                f"{of} was started without a network, so there is no way out that could be opened",
                "start it with --net",
            )
        network.replace(_with(of, network, change))
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        verb = "deny" if not change.allowed else "allow host service" if change.is_host_service else "allow"
        logger.warning("%s network changed by %s: %s %s", of, self._principal, verb, change.host)
        line = f"{now} {self._principal}: {verb} {change.host}"
        return {**policy, "network_changes": [*_changes(policy), line]}

    async def _run_or_session(self, text: str) -> Run | Session:
        try:
            return await self._runs.find(text, self._principal)
        except HutchError as error:
            if error.code != "run_unknown" or text.startswith("r-"):
                raise
        return await find_session(self._runs.rooms.state, text, self._principal)


def _with(of: str, in_force: InForce, change: NetworkChange) -> Network:
    """Raises HutchError `network_denied`, `network_unread`."""
    network = in_force.network
    try:
        pattern = read_pattern(change.host) if change.allowed else read_bound(change.host)
    except NotADestinationError as error:
        raise HutchError("network_denied", f"{change.host[:300]!r} is no host: {error}") from None
    if not change.allowed:
        return taken(network, pattern)
    changed = given(network, pattern, is_host_service=change.is_host_service)
    judged = judge(changed, pattern.host, pattern.port or 0)
    if not pattern.is_below and isinstance(judged, Missing):
        raise HutchError("network_denied", judged.told, "what denies it would have to go first")
    if not pattern.is_below and in_force.is_unread(pattern.host, pattern.port or 0):
        raise HutchError(
            "network_unread",
            f"{pattern} is metered, and {of} was started without it: nobody would count what is asked there",
            "start another one that has it in its network; or take it out of network.NAME.metered",
        )
    return changed


def _record(of: str, network: Network, policy: Mapping[str, object]) -> NetworkRecord:
    return NetworkRecord(
        of=of,
        allow=list(map(str, network.allow)),
        deny=list(map(str, network.deny)),
        changes=_changes(policy),
    )


def _changes(policy: Mapping[str, object]) -> list[str]:
    made = policy.get("network_changes", [])
    return list(map(str, made)) if isinstance(made, list) else []
