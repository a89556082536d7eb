"""The groups of the fake service: every attempt is done as soon as it begins."""

from datetime import UTC, datetime

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import (
    AttemptChange,
    AttemptRecord,
    AttemptsDiff,
    AttemptsDiffRequest,
    DiscardedRecord,
    Forks,
    GroupRecord,
    KeptRecord,
)
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.usage_records import Budget
from hutch_mcp_tools.volume_records import VolumeChange

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeGroups:
    """One group after the other, `g-0001`; its sessions are `s-g1` and so on."""

    def __init__(self) -> None:
        self.groups: dict[str, GroupRecord] = {}
        self.forks: list[tuple[AgentRequest, Forks]] = []
        self.kept: list[tuple[str, str | None]] = []
        self.discarded: list[str] = []

    async def start_forks(self, request: AgentRequest, forks: Forks) -> GroupRecord:
        self.forks.append((request, forks))
        group_id = f"g-{len(self.groups) + 1:04d}"
        attempts = [
            AttemptRecord(
                number=number,
                session_id=f"s-g{number}",
                group_id=group_id,
                status="idle",
                outcome="exited",
                volume=f"web-0001-{number}",
                model=forks.models[number - 1] if forks.models else None,
                run_id=f"r-g{number}",
                last_message=f"Attempt {number} is done.",
                tokens_in=1000 * number,
                tokens_out=50,
                cost_usd=0.01 * number,
                duration_s=float(number),
                changed=1,
                added=number,
                files=[AttemptChange(kind="A", path="/note.txt", added=number)],
            )
            for number in range(1, forks.count + 1)
        ]
        self.groups[group_id] = GroupRecord(
            group_id=group_id,
            agent=request.agent,
            prompt=request.prompt,
            volume=request.volume or "web",
            snapshot=3,
            workspace=request.workspace,
            principal="owner",
            created_at=NOW,
            attempts=attempts,
        )
        return self.groups[group_id]

    async def get_group(self, group: str, wait_s: float = 0) -> GroupRecord:
        if group not in self.groups:
            raise ServiceError("group_unknown", f"no group is called {group!r}", "see: hutch compare")
        return self.groups[group]

    async def list_groups(self, limit: int = 20) -> list[GroupRecord]:
        return list(self.groups.values())[:limit]

    async def stop_group(self, group: str) -> GroupRecord:
        return await self.get_group(group)

    async def suspend_group(
        self, group: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> GroupRecord:
        return await self.get_group(group)

    async def compare_attempts(self, ids: list[str], files: int = 200) -> list[AttemptRecord]:
        found = []
        for text in ids:
            groups = [await self.get_group(text)] if text.startswith("g-") else self.groups.values()
            attempts = [attempt for group in groups for attempt in group.attempts]
            found += [each for each in attempts if text in (each.group_id, each.session_id)]
        return found

    async def diff_attempts(self, request: AttemptsDiffRequest) -> AttemptsDiff:
        change = VolumeChange(kind="M", path="/note.txt", patch="-a\n+b\n", added=1, deleted=1)
        return AttemptsDiff(a=request.a, b=request.b, changes=[change])

    async def keep_attempt(self, session_id: str, to: str | None = None) -> KeptRecord:
        self.kept.append((session_id, to))
        return KeptRecord(session_id=session_id, group_id="g-0001", volume=to or "web", snapshot=4, changes=2)

    async def discard_group(self, group: str) -> DiscardedRecord:
        self.discarded.append(group)
        left = {"web-0001-1": "session s-g1 is at work in run r-g1"}
        return DiscardedRecord(group_id=group, removed=["web-0001-2"], left=left)
