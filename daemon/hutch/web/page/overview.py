"""What the first page shows: the work of runs and sessions, what needs a person first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hutch.telling.amounts import age, counted, dollars, duration, in_and_out
from hutch.telling.records import doing
from hutch.web.page.states import Tone, state
from hutch_mcp_tools.change_records import ReviewRecord
from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.usage_records import ModelUsage, Usage

_RUNS, _SESSIONS = 40, 20
_CHARS = 160  # of what came from inside
_AT_WORK = frozenset({"queued", "starting", "running", "suspended"})


@dataclass(frozen=True, slots=True)
class Work:
    """A run, or a session with its newest one. All of it is text."""

    id: str
    run_id: str | None
    state: str
    tone: Tone
    who: str  # the agent; empty: a command
    what: str
    began: datetime
    age: str
    took: str
    tokens: str
    cost: str
    doing: str
    needs: tuple[str, ...]  # what a person is to do
    refused: tuple[str, ...]  # where it was refused
    principal: str
    is_at_work: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Work by what it is to a person, each the newest first."""

    needs: Sequence[Work]
    at_work: Sequence[Work]
    ended: Sequence[Work]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the service tells of all this."""

    runs: Sequence[RunRecord]
    sessions: Sequence[SessionRecord]
    reviews: Sequence[ReviewRecord]


async def look(service: SandboxService) -> Seen:
    """Ask the service. Raises ServiceError."""
    newest = await service.list_runs(_RUNS)
    known = {run.run_id for run in newest}
    longer = [run for run in await service.list_runs(_RUNS, live=True) if run.run_id not in known]
    sessions = (await service.list_sessions(limit=_SESSIONS)).sessions
    return Seen([*newest, *longer], sessions, await service.list_reviews())


def overview(seen: Seen) -> Overview:
    """Sort it: an agent's turns are told with their session."""
    waiting = {review.review: review for review in seen.reviews if review.changes}
    agents = {session.session_id: session for session in seen.sessions if session.kind == "agent"}
    works = [_of_session(session) for session in agents.values()]
    works += [_of_run(run) for run in seen.runs if run.session_id not in agents]
    works = [_with_review(work, waiting) for work in works]
    works.sort(key=lambda work: work.began, reverse=True)
    needs = [work for work in works if work.needs or (work.is_at_work and work.refused)]
    rest = [work for work in works if work not in needs]
    ended = sorted((work for work in rest if not work.is_at_work), key=lambda work: not work.refused)
    return Overview(needs, [work for work in rest if work.is_at_work], ended)


def _of_run(run: RunRecord) -> Work:
    words, tone = state(run)
    return Work(
        id=run.run_id,
        run_id=run.run_id,
        state=words,
        tone=tone,
        who="",
        what=one_line(run.command, _CHARS),
        began=run.created_at,
        age=age(run.created_at),
        took=duration(run.duration_s),
        **_spent(run.metered, run.usage),
        doing=doing(run) or one_line("" if run.status == "exited" else run.reason, _CHARS),
        needs=_needs(run.status, run.run_id),
        refused=tuple(one_line(where, _CHARS) for where in run.refused),
        principal=run.principal,
        is_at_work=not run.is_ended,
    )


def _of_session(session: SessionRecord) -> Work:
    words, tone = state(session)
    said = session.error or session.last_message or session.name or ""
    return Work(
        id=session.session_id,
        run_id=session.run_id,
        state=words,
        tone=tone,
        who=one_line(session.agent or "", _CHARS),
        what=one_line(session.name or session.volume or session.session_id, _CHARS),
        began=session.updated_at,
        age=age(session.updated_at),
        took=counted(session.turns, "turn"),
        **_spent(session.metered, session.usage),
        doing=doing(session) or one_line(said, _CHARS),
        needs=_needs(session.status, session.session_id),
        refused=tuple(_refused(session.traffic)),
        principal=session.principal,
        is_at_work=session.status in _AT_WORK,
    )


def _needs(status: str, id_: str) -> tuple[str, ...]:
    return (f"It is held still; to let it go on: hutch resume {id_}",) if status == "suspended" else ()


def _with_review(work: Work, waiting: Mapping[str, ReviewRecord]) -> Work:
    review = waiting.get(work.id) or waiting.get(work.run_id or "")
    if review is None:
        return work
    changes = counted(review.changes or 0, "change")
    told = f"{changes} of {review.folder} to look at: hutch diff {review.review}"
    return replace(work, needs=(*work.needs, one_line(told, 2 * _CHARS)))


def _refused(traffic: Iterable[TrafficRecord]) -> Iterable[str]:
    return (one_line(each.where, _CHARS) for each in traffic if each.is_refused)


def _spent(metered: Sequence[ModelUsage], reported: Usage | None) -> dict[str, str]:
    """As it was metered where anything was, else as the agent says."""
    used: Sequence[Usage] = metered or [reported or Usage()]
    costs = [each.cost_usd for each in used]
    asked = sum(each.input_tokens + each.cache_read_tokens + each.cache_write_tokens for each in used)
    known = None if None in costs else sum(cost for cost in costs if cost is not None)
    return {"tokens": in_and_out(asked, sum(each.output_tokens for each in used)), "cost": dollars(known)}
