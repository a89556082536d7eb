"""What a model reads of a session: a line of facts, then its last words."""

import json
from datetime import UTC, datetime

from pydantic import JsonValue

from hutch_mcp_tools.network_text import passed_lines, refusals, refused_lines
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.text import harmless, json_string, one_line
from hutch_mcp_tools.usage_records import Usage

MESSAGE_CHARS = 16_000  # of an agent's last message, in an answer about that session
ROW_CHARS = 200  # in a list


def shown(session: SessionRecord, message_chars: int = MESSAGE_CHARS) -> SessionRecord:
    """The record as it may leave: what came from inside is harmless and of bounded length."""
    return session.model_copy(
        update={
            "last_message": _cut(session.last_message, message_chars),
            "result": _fitting(session.result, message_chars),
            "error": _cut(session.error, ROW_CHARS * 5),
            "name": session.name and one_line(session.name, ROW_CHARS),
        }
    )


def row(session: SessionRecord) -> SessionRecord:
    """The record as it stands in a list: what it asked, and of which models, is told of one session."""
    return shown(session, ROW_CHARS).model_copy(update={"metered": [], "traffic": []})


def session_line(session: SessionRecord) -> str:
    """The facts of a session as `name=value` pairs."""
    pairs: dict[str, object] = {
        "session": session.session_id,
        "kind": session.kind,
        "status": session.status,
        "queue_place": session.queue_place,
        "name": session.name and json_string(session.name, ROW_CHARS),
        "agent": session.agent,
        "agent_session": session.agent_session_id,
        "volume": session.volume,
        "turns": session.turns,
        "run": session.run_id,
        "updated": f"{session.updated_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    facts = " ".join(f"{name}={value}" for name, value in pairs.items() if value is not None)
    return f"{facts} {_usage(session.usage)}".strip()


def session_text(session: SessionRecord) -> str:
    """All about one session."""
    parts = [session_line(session)]
    if session.error:
        parts.append(f"error: {session.error}")
    network = [*passed_lines(session.traffic), *refused_lines(refusals(session.traffic))]
    parts += [line.rstrip("\n") for line in network]
    if session.result is not None:
        parts.append(f"--- result ---\n{harmless(json.dumps(session.result, ensure_ascii=False))}")
    if session.last_message:
        parts.append(f"--- last message ---\n{session.last_message}")
    elif session.status in ("queued", "running"):
        doing = f" ({doing_now(session)})" if session.note else ""
        parts.append(
            f'at work{doing}: get_session(session_id="{session.session_id}", wait_s=45) waits for its answer'
        )
    return "\n".join(parts)


def doing_now(record: SessionRecord | RunRecord) -> str:
    """What it is at, and for how long; empty: nothing is told of it."""
    if not record.note:
        return ""
    since = record.note_since
    took = f", for {max((datetime.now(UTC) - since).total_seconds(), 0):.0f} s" if since else ""
    return f"{one_line(record.note, ROW_CHARS)}{took}"


def _usage(usage: Usage) -> str:
    tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    if not tokens and not usage.output_tokens:
        return ""
    cost = "" if usage.cost_usd is None else f" cost_usd={usage.cost_usd:.4f}"
    return f"tokens_in={tokens} tokens_out={usage.output_tokens}{cost}"


def _fitting(result: JsonValue, limit: int) -> JsonValue:
    """A result as it is, or a word that it is too long for this answer."""
    length = len(json.dumps(result))
    return _harmless(result) if length <= limit else f"[{length} characters; see: hutch show --json]"


def _harmless(value: JsonValue) -> JsonValue:
    """The same value, its texts harmless; the daemon has bounded how deep it is."""
    match value:
        case str():
            return harmless(value)
        case list():
            return [_harmless(each) for each in value]
        case dict():
            return {harmless(name): _harmless(each) for name, each in value.items()}
        case _:
            return value


def _cut(text: str | None, limit: int) -> str | None:
    if text is None:
        return None
    if len(text) <= limit:
        return harmless(text)
    return f"{harmless(text[:limit])}\n[…{len(text) - limit} characters left out]"
