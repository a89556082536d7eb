"""A run or session, fact by fact."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from hutch.telling.amounts import age, cost, counted, duration, metered, tokens
from hutch.telling.policy import policy_fields
from hutch_launchers.sizes import size
from hutch_mcp_tools.agents_own import agents_own_last
from hutch_mcp_tools.change_records import ChangesRequest
from hutch_mcp_tools.network_records import TrafficRecord
from hutch_mcp_tools.network_text import refusals
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.session_text import doing_now

Record = RunRecord | SessionRecord


def doing(record: Record) -> str:
    """What it is at, since when; a plain command only runs, which its status says."""
    return "" if record.note == record.status else doing_now(record)


def status(run: RunRecord) -> str:
    """How it stands, in a word or a few."""
    if run.queue_place is not None:
        return f"queued, place {run.queue_place}"
    return f"{run.status}, unsynced" if run.unsynced else run.status


def run_fields(run: RunRecord, workspace: Mapping[str, object]) -> dict[str, object]:
    """All that a run's record says, by name; `workspace` as `workspace_fields` has it."""
    return {
        **outcome_fields(run),
        **change_fields(run, workspace),
        "connections": traffic_fields(run.traffic),
        "refused": tuple(f"{where}: {why}" for where, why in run.refused.items()),
        **cost_fields(run),
        **policy_fields(run.policy),
    }


def outcome_fields(run: RunRecord) -> dict[str, object]:
    """What it was, and what became of it."""
    return {
        "run": run.run_id,
        "status": status(run),
        "doing": doing(run),
        "reason": run.reason,
        "retry": run.retry or "",
        "command": run.command,
        "exit code": run.exit_code,
        "signal": run.signal,
        "method": run.method,
        "session": run.session_id,
        "principal": run.principal,
        "created": f"{run.created_at:%Y-%m-%d %H:%M:%S} UTC, {age(run.created_at)} ago",
        "took": duration(run.duration_s),
        "result": None if run.result is None else json.dumps(run.result, ensure_ascii=False),
        "stdout": size(run.stdout_bytes),
        "stderr": size(run.stderr_bytes),
        "not kept": size(run.dropped_bytes) if run.dropped_bytes else "",
        "log": f"let go of {age(run.log_let_go_at)} ago (configuration: [logs])" if run.log_let_go_at else "",
    }


def change_fields(run: RunRecord, workspace: Mapping[str, object]) -> dict[str, object]:
    """What it changed in volumes and in a workspace."""
    return {
        "volumes": ", ".join(run.volumes),
        "snapshots": ", ".join(f"{name} at {number}" for name, number in run.snapshots.items()),
        "changed": "; ".join(
            f"{name}: {', '.join(agents_own_last(paths))}" for name, paths in run.changed.items() if paths
        ),
        **workspace,
        "unsynced": "; ".join(f"{name}: {why}" for name, why in run.unsynced.items()),
    }


def cost_fields(run: RunRecord) -> dict[str, object]:
    """What it used of models, and of budgets."""
    return {
        "tokens": tokens(run.usage),
        "cost": cost(run.usage),
        "metered": metered(run.metered),
        "budgets": "; ".join(
            f"{budget['name']} (per {budget['per']}): {budget['spent']}" for budget in run.budgets
        ),
    }


def session_fields(session: SessionRecord, workspace: Mapping[str, object]) -> dict[str, object]:
    """All that a session's record says, by name."""
    return {
        "session": session.session_id,
        "name": session.name,
        "status": session.status,
        "doing": doing(session),
        "error": session.error,
        "agent": session.agent,
        "its own id": session.agent_session_id,
        "attempt of": session.group_id,
        "method": session.method,
        "volume": session.volume,
        **workspace,
        "turns": session.turns,
        "newest run": session.run_id,
        "principal": session.principal,
        "created": f"{session.created_at:%Y-%m-%d %H:%M:%S} UTC, {age(session.created_at)} ago",
        "updated": f"{age(session.updated_at)} ago",
        "tokens": tokens(session.usage),
        "cost": cost(session.usage),
        "metered": metered(session.metered),
        "connections": traffic_fields(session.traffic),
        "refused": tuple(f"{where}: {why}" for where, why in refusals(session.traffic).items()),
        "last message": session.last_message,
        "result": "" if session.result is None else json.dumps(session.result, indent=2),
    }


def traffic_fields(traffic: Sequence[TrafficRecord]) -> tuple[str, ...]:
    """What was reached, a line a destination."""
    return tuple(
        f"{each.where} by {each.rule}: {counted(each.count, 'connection')}, {size(each.sent)} out,"
        f" {size(each.received)} in, {duration(each.duration_s)}"
        for each in traffic
        if not each.is_refused
    )


async def workspace_fields(service: SandboxService, said: Mapping[str, JsonValue]) -> dict[str, object]:
    """What a run's record says of its workspace, with what still waits of its changes."""
    if not said:
        return {}
    changes = said.get("changes")
    became = counted(changes, "change") if isinstance(changes, int) else ""
    if said.get("review") and changes:
        waiting = await _waiting(service, str(said["review"]))
        some = "" if waiting in (None, changes) else f"{waiting} "
        became += (
            f", {some}to review: hutch diff {said['review']}" if waiting != 0 else ", none waits any more"
        )
    if said.get("branch"):
        became += f", on the branch {said['branch']}"
    risky = said.get("would_run_on_host")
    return {
        "workspace": f"{said['folder']}:{said['mode']}" + (f", {became}" if became else ""),
        "to look at": ", ".join(map(str, risky)) if isinstance(risky, list) else "",
    }


async def _waiting(service: SandboxService, review: str) -> int | None:
    """How many changes wait; None: that cannot be said now, as while a sandbox is at work on them."""
    try:
        return (await service.get_changes(ChangesRequest(id=review, patch=False, limit=1))).count
    except ServiceError as error:
        return 0 if error.code == "changes_unknown" else None
