"""Turns the daemon's records into those of the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from pydantic import JsonValue

from hutch.access import Share
from hutch.egress import Refusal
from hutch.runs.path.live import LiveRun
from hutch.secrets import Checked
from hutch.state import AccessToken, Attempt, Connection, Run, Session, Tokens, Traffic, UsageRow
from hutch.state.records import SessionTotals
from hutch_mcp_tools.access_records import SecretCheck, ShareRecord, TokenRecord
from hutch_mcp_tools.network_records import ConnectionRecord, TrafficRecord
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import ModelUsage, Usage

_REFUSED = 50  # destinations in one record


def run_record(
    run: Run,
    live: LiveRun | None,
    refused: Mapping[str, str],
    used: Sequence[UsageRow],
    traffic: Sequence[Traffic],
) -> RunRecord:
    """A run, without its output; `refused` has the destinations that it did not reach, and why."""
    retry = run.turn.get("retry")
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
        log_let_go_at=None if run.log_let_go_at is None else _time(run.log_let_go_at),
        volumes=list(run.volumes),
        snapshots=dict(run.snapshots),
        changed={name: list(lines) for name, lines in run.changed.items()},
        unsynced=dict(run.unsynced),
        workspace=cast("dict[str, JsonValue]", dict(run.workspace)),
        refused={where: _told(why) for where, why in list(refused.items())[-_REFUSED:]},
        traffic=[traffic_record(each) for each in traffic],
        usage=_usage(run.tokens) if run.tokens else None,
        result=cast("JsonValue", run.result),
        metered=metered(used),
        budgets=cast("list[dict[str, JsonValue]]", [dict(budget) for budget in run.budgets]),
        principal=run.principal,
        retry=retry if isinstance(retry, int) else 0,
        queue_place=live.place if live else None,
        note=live.now() if live and not run.is_ended else "",
        note_since=_time(live.noted_at) if live and not run.is_ended else None,
        policy=dict(run.policy),
    )


def _told(why: str) -> str:
    """Earlier versions kept a refusal's word alone."""
    return Refusal(why).told if why in set(Refusal) else why


def session_record(
    session: Session,
    totals: SessionTotals,
    used: Sequence[UsageRow],
    traffic: Sequence[Traffic],
    live: LiveRun | None,
    attempt: Attempt | None,
) -> SessionRecord:
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
        metered=metered(used),
        traffic=[traffic_record(each) for each in traffic],
        queue_place=live.place if live else None,
        note=live.now() if live else "",
        note_since=_time(live.noted_at) if live else None,
        last_message=session.last_message,
        result=cast("JsonValue", session.result),
        error=session.error,
        group_id=attempt.group_id if attempt else None,
    )


def traffic_record(traffic: Traffic) -> TrafficRecord:
    """What passed to one destination, summed."""
    return TrafficRecord.model_validate(asdict(traffic))


def connection_record(connection: Connection) -> ConnectionRecord:
    """One connection."""
    values = asdict(connection)
    del values["run_id"], values["event"]
    values["secrets"] = [name for name in connection.secrets.split(",") if name]
    return ConnectionRecord.model_validate({**values, "at": _time(connection.at)})


def metered(used: Sequence[UsageRow]) -> list[ModelUsage]:
    """What models used, summed over runs and days, the dearest first."""
    sums: dict[tuple[str, str], list[UsageRow]] = {}
    for row in used:
        sums.setdefault((row.host, row.model), []).append(row)
    records = [_model_usage(rows) for rows in sums.values()]
    return sorted(records, key=lambda record: (-(record.cost_usd or 0), record.host, record.model))


def _model_usage(rows: Sequence[UsageRow]) -> ModelUsage:
    def total(name: str) -> int:
        return sum(getattr(row, name) for row in rows)

    cost = None if total("unpriced") else float(sum((row.cost_usd for row in rows), Decimal(0)))
    return ModelUsage(
        host=rows[0].host,
        model=rows[0].model,
        requests=total("requests"),
        incomplete=total("incomplete"),
        input_tokens=total("input_tokens"),
        output_tokens=total("output_tokens"),
        cache_read_tokens=total("cache_read_tokens"),
        cache_write_tokens=total("cache_write_tokens"),
        web_searches=total("web_searches"),
        cost_usd=cost,
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


def secret_check(checked: Checked) -> SecretCheck:
    """What a secret's host answered."""
    told = {
        True: "it works",
        False: "it is refused; is its value still good, and its place where this host wants it?",
        None: "alike, which proves nothing; name a path that needs it: --path",
    }[checked.works]
    return SecretCheck(
        url=checked.url, status=checked.status, without=checked.without, works=checked.works, told=told
    )
