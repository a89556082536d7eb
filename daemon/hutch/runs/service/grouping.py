"""The groups' part of the service: attempts begun at once, looked at side by side, one of them kept."""

from datetime import UTC, datetime

from hutch.access import Level
from hutch.budgets import of_group
from hutch.budgets.accounts import Key
from hutch.errors import HutchError
from hutch.runs.gate.answers import answers
from hutch.runs.groups.attempts import Standing, attempt_record, unstarted, with_count, with_files
from hutch.runs.groups.groups import Groups
from hutch.runs.groups.keeping import Keeping
from hutch.runs.lookup import find_session
from hutch.runs.runs import Runs
from hutch.runs.service.reviewing import waiting_of
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.runs.volume_service.comparing import compare_volumes
from hutch.state import Attempt, Group, Session
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.group_records import (
    MOST_FORKS,
    AttemptRecord,
    AttemptsDiff,
    AttemptsDiffRequest,
    DiscardedRecord,
    Forks,
    GroupRecord,
    KeptRecord,
)
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import Budget
from hutch_mcp_tools.volume_records import DiffRequest

_MOST_LISTED = 100  # groups
_MOST_FILES = 1000  # of one attempt, whose lines are counted


class Grouping:
    """The part of the service that knows groups."""

    _runs: Runs
    _agents: AgentSessions
    _groups: Groups
    _keeping: Keeping
    _principal: str

    @property
    def _seen(self) -> str | None:
        raise NotImplementedError

    async def _record(self, session: Session) -> SessionRecord:
        raise NotImplementedError

    @answers
    async def start_forks(self, request: AgentRequest, forks: Forks) -> GroupRecord:
        return await self._group_record(await self._groups.start(request, forks, self._principal))

    @answers
    async def get_group(self, group: str, wait_s: float = 0) -> GroupRecord:
        found = await self._groups.find(group, self._principal)
        await self._groups.wait(found, wait_s)
        return await self._group_record(found)

    @answers
    async def list_groups(self, limit: int = 20) -> list[GroupRecord]:
        limit = max(1, min(limit, _MOST_LISTED))
        found = await self._runs.rooms.state.groups(limit, principal=self._seen)
        return [group_record(group, []) for group in found]

    @answers
    async def stop_group(self, group: str) -> GroupRecord:
        found = await self._groups.find(group, self._principal)
        await self._groups.stop(found)
        return await self._group_record(found)

    @answers
    async def suspend_group(
        self, group: str, *, suspended: bool = True, budget: Budget | None = None
    ) -> GroupRecord:
        found = await self._groups.find(group, self._principal)
        if budget is not None and budget != Budget():
            found = await self._groups.give(found, budget)
        await self._groups.suspend(found, suspended=suspended)
        return await self._group_record(found)

    @answers
    async def compare_attempts(self, ids: list[str], files: int = 200) -> list[AttemptRecord]:
        records = []
        files = max(0, min(files, _MOST_FILES))
        for record in await self._chosen(ids):
            await self._refuse_unreadable(record)
            waiting = None
            if record.session_id and not record.is_at_work:
                waiting = await waiting_of(self._runs.rooms, record.session_id, files)
            records.append(await with_files(self._runs.rooms, record, waiting, files))
        return records

    @answers
    async def diff_attempts(self, request: AttemptsDiffRequest) -> AttemptsDiff:
        rooms = self._runs.rooms
        a, b = await self._chosen([request.a]), await self._chosen([request.b])
        if len(a) + len(b) != 2:
            raise HutchError(
                "forks_invalid", "two attempts are compared, and no groups", "see: hutch compare"
            )
        for record in (*a, *b):
            await self._refuse_unreadable(record)
        asked = DiffRequest(
            volume=b[0].volume,
            path=request.path,
            patch=request.patch,
            offset=request.offset,
            limit=request.limit,
        )
        page = await compare_volumes(
            rooms.volumes, rooms.volume(a[0].volume), rooms.volume(b[0].volume), asked
        )
        return AttemptsDiff(
            a=a[0].session_id or "", b=b[0].session_id or "", changes=page.changes, next=page.next
        )

    @answers
    async def keep_attempt(self, session_id: str, to: str | None = None) -> KeptRecord:
        kept = await self._keeping.keep(session_id, to, self._principal)
        attempt = kept.attempt
        return KeptRecord(
            session_id=attempt.session_id or "",
            group_id=attempt.group_id,
            volume=attempt.kept_as or "",
            snapshot=attempt.kept_snapshot or 0,
            changes=kept.changes,
        )

    @answers
    async def discard_group(self, group: str) -> DiscardedRecord:
        found = await self._groups.find(group, self._principal)
        removed, left = await self._keeping.discard(found)
        return DiscardedRecord(group_id=found.id, removed=removed, left=left)

    async def _group_record(self, group: Group) -> GroupRecord:
        attempts = await self._runs.rooms.state.attempts(group.id)
        records = [await with_count(self._runs.rooms, await self._attempt(each)) for each in attempts]
        return group_record(group, records, await self._budget(group))

    async def _budget(self, group: Group) -> str:
        limit = of_group(group.id, group.budget_usd, group.budget_tokens)
        if limit.is_empty:
            return ""
        account = await self._runs.rooms.accounts.account(Key("group", group.id))
        return str(limit.state(account.spent)["spent"])

    async def _chosen(self, ids: list[str]) -> list[AttemptRecord]:
        """The attempts of the groups, and the sessions, that are called so."""
        if len(ids) > MOST_FORKS:
            raise HutchError("forks_invalid", f"at most {MOST_FORKS} are compared at once", "name fewer")
        state = self._runs.rooms.state
        found: dict[str, AttemptRecord] = {}
        for text in ids:
            if text.startswith("g-"):
                group = await self._groups.find(text, self._principal)
                attempts = await state.attempts(group.id)
                found |= {each.volume: await self._attempt(each) for each in attempts}
            else:
                session = await find_session(state, text, self._principal)
                attempt = await state.attempt(session.id)
                found[session.id] = attempt_record(await self._standing(session, attempt))
        return list(found.values())

    async def _refuse_unreadable(self, record: AttemptRecord) -> None:
        """A share may have been taken back since. Raises HutchError `volume_unknown`."""
        rights = await self._runs.rooms.access.rights(self._principal)
        if record.volume:
            rights.require(self._runs.rooms.volume(record.volume), Level.READ)

    async def _attempt(self, attempt: Attempt) -> AttemptRecord:
        session = await self._runs.rooms.state.session(attempt.session_id or "")
        if session is None:
            return unstarted(attempt)
        return attempt_record(await self._standing(session, attempt))

    async def _standing(self, session: Session, attempt: Attempt | None) -> Standing:
        state, record = self._runs.rooms.state, await self._record(session)
        live = self._agents.turns.of(session.id)
        run = live.view() if live else await state.run(record.run_id) if record.run_id else None
        return Standing(record, attempt, run, await state.seconds_run(session_id=session.id))


def group_record(group: Group, attempts: list[AttemptRecord], budget: str = "") -> GroupRecord:
    """A group as the wire has it."""
    return GroupRecord(
        group_id=group.id,
        agent=group.agent,
        prompt=group.prompt,
        volume=group.volume,
        snapshot=group.snapshot,
        workspace=group.workspace,
        principal=group.principal,
        created_at=datetime.fromtimestamp(group.created_at, UTC),
        budget=budget,
        attempts=attempts,
    )
