"""Turns the daemon's records into those of the wire."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from pydantic import JsonValue

from hutch.access import Share
from hutch.egress import Refusal
from hutch.state import AccessToken, Run, Session, Tokens
from hutch.state.records import SessionTotals
from hutch_mcp_tools.access_records import ShareRecord, TokenRecord
from hutch_mcp_tools.service import RunRecord, SessionRecord, Usage


def run_record(run: Run, refused: Mapping[str, str]) -> RunRecord:
    """A run, without its output; `refused` has the destinations that it did not reach, and why."""
    return RunRecord(
        run_id=run.id,
        status=run.status,
        command=run.command,
        method=run.method,
        session_id=run.session_id,
        exit_code=run.exit_code,
        signal=run.signal,
        reason=run.reason,
        created_at=_time(run.created_at),
        ended_at=None if run.ended_at is None else _time(run.ended_at),
        duration_s=run.duration_s,
        stdout_bytes=run.stdout_bytes,
        stderr_bytes=run.stderr_bytes,
        dropped_bytes=run.dropped_bytes,
        volumes=list(run.volumes),
        snapshots=dict(run.snapshots),
        changed={name: list(lines) for name, lines in run.changed.items()},
        unsynced=dict(run.unsynced),
        workspace=cast("dict[str, JsonValue]", dict(run.workspace)),
        refused={where: Refusal(why).told for where, why in refused.items()},
        usage=_usage(run.tokens) if run.tokens else None,
        principal=run.principal,
        policy=dict(run.policy),
    )


def session_record(session: Session, totals: SessionTotals, note: str) -> SessionRecord:
    """A session, with what its runs add up to and what the one is at that works now."""
    return SessionRecord(
        session_id=session.id,
        kind=session.kind,
        status=session.status,
        name=session.name,
        agent=session.agent,
        agent_session_id=session.agent_session_id,
        method=session.method,
        volume=session.volume,
        created_at=_time(session.created_at),
        updated_at=_time(session.updated_at),
        turns=totals.turns,
        run_id=totals.newest_run,
        principal=session.principal,
        usage=_usage(totals.tokens),
        note=note,
        last_message=session.last_message,
        error=session.error,
    )


def share_record(share: Share) -> ShareRecord:
    """What was said of one principal."""
    return ShareRecord.model_validate({"principal": share.principal, "level": share.level.word})


def token_record(token: AccessToken, text: str | None = None) -> TokenRecord:
    """A principal's token; `text` is the token itself, for the one who has it made."""
    return TokenRecord(
        token_id=token.id,
        principal=token.principal,
        created_at=_time(token.created_at),
        expires_at=None if token.expires_at is None else _time(token.expires_at),
        revoked_at=None if token.revoked_at is None else _time(token.revoked_at),
        token=text,
    )


def _usage(tokens: Tokens) -> Usage:
    return Usage(
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        cost_usd=tokens.cost_usd,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
