"""The groups' part of the daemon's client."""

from hutch.calls import Caller
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import (
    AttemptRecord,
    AttemptsDiff,
    AttemptsDiffRequest,
    DiscardedRecord,
    Forks,
    GroupRecord,
    KeptRecord,
)
from hutch_mcp_tools.usage_records import Budget


class GroupClient(Caller):
    """Each method a request to the daemon. Raises what `SandboxService` says."""

    async def start_forks(self, request: AgentRequest, forks: Forks) -> GroupRecord:
        return await self._call("start_forks", GroupRecord, request=request, forks=forks)

    async def get_group(self, group: str, wait_s: float = 0) -> GroupRecord:
        return await self._call("get_group", GroupRecord, group=group, wait_s=wait_s)

    async def list_groups(self, limit: int = 20) -> list[GroupRecord]:
        return await self._call("list_groups", list[GroupRecord], limit=limit)

    async def stop_group(self, group: str) -> GroupRecord:
        return await self._call("stop_group", GroupRecord, group=group)

    async def suspend_group(
        self, group: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> GroupRecord:
        return await self._call("suspend_group", GroupRecord, group=group, suspended=suspended, budget=budget)

    async def compare_attempts(self, ids: list[str], files: int = 200) -> list[AttemptRecord]:
        return await self._call("compare_attempts", list[AttemptRecord], ids=ids, files=files)

    async def diff_attempts(self, request: AttemptsDiffRequest) -> AttemptsDiff:
        return await self._call("diff_attempts", AttemptsDiff, request=request)

    async def keep_attempt(self, session_id: str, to: str | None = None) -> KeptRecord:
        return await self._call("keep_attempt", KeptRecord, session_id=session_id, to=to)

    async def discard_group(self, group: str) -> DiscardedRecord:
        return await self._call("discard_group", DiscardedRecord, group=group)
