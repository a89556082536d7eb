"""The part of the service that is about the ways out of sandboxes: what passed there."""

from hutch.errors import HutchError
from hutch.runs.answers import answers
from hutch.runs.lookup import find_session
from hutch.runs.runs import Runs
from hutch.runs.wire import connection_record
from hutch.state import Run, Session
from hutch_mcp_tools.network_records import ConnectionRecord

_MOST = 10_000  # connections in one answer


class Networking:
    """The gate has checked who asks."""

    _runs: Runs
    _principal: str

    @answers
    async def network_log(self, of: str, limit: int = 1000) -> list[ConnectionRecord]:
        found = await self._run_or_session(of)
        limit = max(1, min(limit, _MOST))
        return [connection_record(each) for each in await self._runs.rooms.state.connections(found, limit)]

    async def _run_or_session(self, text: str) -> Run | Session:
        try:
            return await self._runs.find(text, self._principal)
        except HutchError as error:
            if error.code != "run_unknown" or text.startswith("r-"):
                raise
        return await find_session(self._runs.rooms.state, text, self._principal)
