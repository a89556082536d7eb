"""Attempts side by side: what each is doing, what it has cost, what it has changed."""

from collections.abc import Generator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import cast

from pydantic import JsonValue

from hutch.errors import HutchError
from hutch.runs.rooms import Rooms
from hutch.runs.volume_service.comparing import changed_files
from hutch.state import Attempt, Run
from hutch.volumes import VolumeName
from hutch_mcp_tools.agents_own import is_agents_own
from hutch_mcp_tools.change_records import WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.group_records import AttemptChange, AttemptRecord
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import Usage
from hutch_mcp_tools.volume_records import VolumeChange

_MOST_COUNTED = 10_000  # changes of one attempt


@dataclass(frozen=True, slots=True)
class Standing:
    """A session with its newest run, and the attempt that it is, if it is one."""

    session: SessionRecord
    attempt: Attempt | None
    run: Run | None
    worked_s: float


def attempt_record(standing: Standing) -> AttemptRecord:
    """What its records say, without its changes."""
    session, attempt, run = standing.session, standing.attempt, standing.run
    return AttemptRecord(
        number=attempt.number if attempt else 0,
        session_id=session.session_id,
        group_id=attempt.group_id if attempt else None,
        status=session.status,
        outcome="; ".join(word for word in (run.status, run.reason) if word) if run else "",
        note=session.note,
        volume=attempt.volume if attempt else (session.volume or "").partition(":")[0],
        model=attempt.model if attempt else None,
        variant=attempt.variant if attempt else None,
        run_id=session.run_id,
        last_message=session.last_message,
        result=session.result,
        error=session.error,
        duration_s=standing.worked_s,
        workspace=cast("dict[str, JsonValue]", dict(run.workspace)) if run else {},
        kept_as=attempt.kept_as if attempt else None,
        kept_snapshot=attempt.kept_snapshot if attempt else None,
    ).model_copy(update=_spent(session))


def unstarted(attempt: Attempt) -> AttemptRecord:
    """Of one whose start was cut off."""
    return AttemptRecord(
        number=attempt.number,
        session_id=None,
        group_id=attempt.group_id,
        status="lost",
        volume=attempt.volume,
        model=attempt.model,
        variant=attempt.variant,
    )


def _spent(session: SessionRecord) -> dict[str, object]:
    """As metered where anything was, since a turn that is at work has reported nothing yet."""
    used: Sequence[Usage] = session.metered or [session.usage]
    costs = [usage.cost_usd for usage in used]
    asked = sum(each.input_tokens + each.cache_read_tokens + each.cache_write_tokens for each in used)
    return {
        "tokens_in": asked,
        "tokens_out": sum(each.output_tokens for each in used),
        "cost_usd": None if None in costs else sum(cost for cost in costs if cost is not None),
    }


async def with_count(rooms: Rooms, record: AttemptRecord) -> AttemptRecord:
    """The record with the number of files that an attempt has changed in its volume since it began."""
    with _if_there():
        return record.model_copy(update={"changed": await _count(rooms, rooms.volume(record.volume))})
    return record


async def _count(rooms: Rooms, name: VolumeName) -> int:
    count = 0
    async with aclosing(rooms.volumes.diff(name, 0)) as changes:
        async for change in changes:
            entry = change.after or change.before
            count += entry is not None and entry.kind != "folder" and not is_agents_own(change.path)
            if count == _MOST_COUNTED:
                break
    return count


async def with_files(
    rooms: Rooms, record: AttemptRecord, waiting: WorkspaceChanges | None, limit: int
) -> AttemptRecord:
    """The record with the files that were changed, the first of them with their lines counted.

    In the volume since the attempt began, of a session that is no attempt by its last run; where changes of
    a workspace wait, these after them.
    """
    since = "0" if record.number else None
    files: list[AttemptChange] = []
    count = None
    with _if_there():
        name = rooms.volume(record.volume)
        found, count = await changed_files(rooms.volumes, name, since, lines_of=limit, most=_MOST_COUNTED)
        files += [_told(change) for change in found]
    if waiting is not None:
        theirs = [change for change in waiting.changes if change.what != "folder"]
        files += [_told(change) for change in theirs]
        count = (count or 0) + len(theirs) + waiting.count - len(waiting.changes)
    shown = files[:limit]
    added, deleted = sum(each.added for each in shown), sum(each.deleted for each in shown)
    return record.model_copy(update={"changed": count, "files": shown, "added": added, "deleted": deleted})


def _told(change: VolumeChange | WorkspaceChange) -> AttemptChange:
    return AttemptChange(
        kind=change.kind,
        path=change.path,
        added=change.added,
        deleted=change.deleted,
        note=change.note,
    )


@contextmanager
def _if_there() -> Generator[None]:
    """Pass over a volume that was discarded, or that a session never had."""
    try:
        yield
    except HutchError as error:
        if error.code not in ("volume_unknown", "volume_name_invalid"):
            raise
