"""A group of attempts as the tools answer it: as one session, with a line for each attempt."""

from hutch_mcp_tools.group_records import AttemptRecord, GroupRecord
from hutch_mcp_tools.session_records import SessionRecord, SessionStatus
from hutch_mcp_tools.session_text import ROW_CHARS
from hutch_mcp_tools.text import json_string, one_line
from hutch_mcp_tools.usage_records import Usage

FILES = 20  # of an attempt, told in an answer
_MESSAGE_CHARS = 1000  # of an attempt's last message
_PATH_CHARS = 200


def group_session(group: GroupRecord) -> SessionRecord:
    """The record as it may leave: what came from inside is harmless and of bounded length."""
    attempts = [_shown(attempt) for attempt in group.attempts]
    costs = [attempt.cost_usd for attempt in attempts]
    return SessionRecord(
        session_id=group.group_id,
        kind="group",
        status=_status(group),
        agent=group.agent,
        method="",
        volume=group.volume,
        created_at=group.created_at,
        updated_at=group.created_at,
        turns=sum(attempt.run_id is not None for attempt in attempts),
        principal=group.principal,
        usage=Usage(
            input_tokens=sum(attempt.tokens_in for attempt in attempts),
            output_tokens=sum(attempt.tokens_out for attempt in attempts),
            cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        ),
        attempts=attempts,
    )


def group_text(group: GroupRecord) -> str:
    """All about one group."""
    total = group_session(group)
    lines = [f"group={group.group_id} status={_state(group)} agent={group.agent} volume={group.volume}"]
    lines[0] += f" snapshot={group.snapshot}"
    if group.budget:
        lines.append(f"together: {group.budget}")
    for attempt in total.attempts:
        lines.append(_line(attempt))
        lines += [f"    {_change(attempt, n)}" for n in range(len(attempt.files))]
        if attempt.last_message:
            lines.append(f"    {json_string(attempt.last_message, _MESSAGE_CHARS)}")
    if group.is_at_work:
        lines.append(f'at work: get_session(session_id="{group.group_id}", wait_s=45) waits for all of them')
    elif any(attempt.session_id for attempt in total.attempts):
        lines.append(
            'see what one changed: read_volume(volume="…", path="/", since="0"); make one the next state of '
            f'volume {group.volume}: apply_changes(review="its session"); remove the rest: '
            f'stop_session(session_id="{group.group_id}", remove=true)'
        )
    return "\n".join(lines)


def _status(group: GroupRecord) -> SessionStatus:
    if group.is_at_work:
        return "running"
    return "failed" if all(attempt.status == "failed" for attempt in group.attempts) else "idle"


def _state(group: GroupRecord) -> str:
    """A word for all of them; those that ended in several ways have "ended"."""
    states = {attempt.state for attempt in group.attempts}
    if group.is_at_work:
        return "running"
    return states.pop() if len(states) == 1 else "ended"


def _shown(attempt: AttemptRecord) -> AttemptRecord:
    return attempt.model_copy(
        update={
            "last_message": attempt.last_message and one_line(attempt.last_message, _MESSAGE_CHARS),
            "result": None,  # its session's answer has it, however long it is
            "error": attempt.error and one_line(attempt.error, ROW_CHARS),
            "note": one_line(attempt.note, ROW_CHARS),
            "files": [
                change.model_copy(update={"path": one_line(change.path, _PATH_CHARS)})
                for change in attempt.files[:FILES]
            ],
        }
    )


def _line(attempt: AttemptRecord) -> str:
    pairs: dict[str, object] = {
        "attempt": attempt.number,
        "session": attempt.session_id or "none",
        "status": attempt.state,
        "volume": attempt.volume,
        "model": attempt.model,
        "changed": attempt.changed,
        "tokens_in": attempt.tokens_in,
        "tokens_out": attempt.tokens_out,
        "cost_usd": None if attempt.cost_usd is None else f"{attempt.cost_usd:.4f}",
        "seconds": f"{attempt.duration_s:.0f}",
        "kept_as": attempt.kept_as,
        "variant": attempt.variant and json_string(attempt.variant, ROW_CHARS),
        "doing": attempt.note and json_string(attempt.note, ROW_CHARS),
        "error": attempt.error and json_string(attempt.error, ROW_CHARS),
    }
    return " ".join(f"{name}={value}" for name, value in pairs.items() if value not in (None, ""))


def _change(attempt: AttemptRecord, number: int) -> str:
    change = attempt.files[number]
    return f"{change.kind} {change.path} ({change.note or f'+{change.added} -{change.deleted}'})"
