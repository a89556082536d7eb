"""The part of the service that is about the ways out of sandboxes: what passed there, and what may."""

import logging

from hutch.errors import HutchError
from hutch.runs.commands.kept_sessions import KeptSessions
from hutch.runs.gate.answers import answers
from hutch.runs.lookup import find_session
from hutch.runs.path.network_changes import change_rules, network_record
from hutch.runs.runs import Runs
from hutch.runs.service.wire import connection_record
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.runs.upkeep.logs import refuse_let_go
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
        listed = await self._runs.rooms.state.connections(found, limit)
        if not listed and isinstance(found, Run):
            refuse_let_go(found)
        return [connection_record(each) for each in listed]

    @answers
    async def change_network(self, of: str, change: NetworkChange) -> NetworkRecord:
        found = await self._run_or_session(of)
        session_id = found.id if isinstance(found, Session) else found.session_id
        live = self._agents.turns.of(found.id) if isinstance(found, Session) else self._runs.live(found.id)
        if kept := self._kept.at_work(session_id):
            policy = change_rules(kept.session_id, kept.network, kept.policy, change, self._principal)
            kept.tell(policy)
            changed, network, lives = kept.session_id, kept.network, list(kept.running.values())
        elif live is not None and live.remote is not None:
            return await live.remote.change_network(change, self._principal)
        elif live is not None and live.process is not None:
            policy = change_rules(live.id, live.network, live.record.policy, change, self._principal)
            live.change(policy=policy)
            changed, network, lives = live.id, live.network, [live]
        else:
            raise HutchError(
                "network_unchangeable", f"{found.id} is not at work", "see what is: hutch ps; hutch sessions"
            )
        for each in lives:  # at once: its record says so after a crash too
            await self._runs.rooms.state.put_run(each.record)
        return network_record(changed, network.network, policy)

    async def _run_or_session(self, text: str) -> Run | Session:
        try:
            return await self._runs.find(text, self._principal)
        except HutchError as error:
            if error.code != "run_unknown" or text.startswith("r-"):
                raise
        return await find_session(self._runs.rooms.state, text, self._principal)
