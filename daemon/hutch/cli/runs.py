"""`hutch ps`, `hutch show`, `hutch stop`: runs and their sessions, by what a person types."""

import json
from collections.abc import Mapping
from typing import Any

import click

from hutch.cli import kinds
from hutch.cli.changes import workspace_fields
from hutch.cli.invocation import Invocation, asked
from hutch.cli.net import traffic_fields
from hutch.cli.output import (
    age,
    cost,
    duration,
    json_option,
    metered,
    note,
    print_fields,
    print_json,
    print_table,
    tokens,
)
from hutch.cli.policy_text import policy_fields
from hutch_launchers.sizes import size
from hutch_mcp_tools.agents_own import agents_own_last
from hutch_mcp_tools.network_text import refusals
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.session_text import doing_now
from hutch_mcp_tools.usage_records import Budget

Record = RunRecord | SessionRecord

_HEADS = ("RUN", "STATUS", "METHOD", "SESSION", "AGE", "TOOK", "COMMAND", "DOING")


@click.command()
@click.option("-a", "--all", "every", is_flag=True, help="Those that have ended too.")
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1, 200), default=100, show_default=True)
@json_option
@click.pass_obj
def ps(invocation: Invocation, /, *, every: bool, limit: int, as_json: bool) -> None:
    """List the runs that work now, newest first."""

    async def work(service: SandboxService) -> list[RunRecord]:
        return await service.list_runs(limit, live=not every)

    records = invocation.call(work)
    if as_json:
        print_json(records)
    else:
        print_table(_HEADS, (_row(record) for record in records))
        if not records and not every:
            note("nothing works now; what has ended: hutch ps --all")


@click.command()
@click.argument("id_", metavar="ID")
@json_option
@click.pass_obj
def show(invocation: Invocation, /, *, id_: str, as_json: bool) -> None:
    """Show the record of a run or session; ID may be the beginning of one, or a session's name."""

    async def work(service: SandboxService) -> tuple[Record, dict[str, object]]:
        found = await find(service, id_)
        run = found if isinstance(found, RunRecord) else None
        if isinstance(found, SessionRecord) and found.run_id:
            run = await service.get_run(found.run_id)
        return found, await workspace_fields(service, run.workspace) if run else {}

    record, workspace = invocation.call(work)
    if as_json:
        print_json(record)
    else:
        print_fields(
            _run(record, workspace) if isinstance(record, RunRecord) else _session(record, workspace)
        )


@click.command()
@click.argument("id_", metavar="ID")
@json_option
@click.pass_obj
def suspend(invocation: Invocation, /, *, id_: str, as_json: bool) -> None:
    """Hold a run or a session still: it uses no processor, and its time does not run."""
    _hold(invocation, id_, suspended=True, as_json=as_json)


@click.command()
@click.argument("id_", metavar="ID")
@kinds.budget_options
@json_option
@click.pass_obj
def resume(invocation: Invocation, /, *, id_: str, as_json: bool, **budget: Any) -> None:
    """Let a suspended run or session go on, with more of the budget that it was given."""
    _hold(invocation, id_, suspended=False, as_json=as_json, budget=asked(Budget, **budget))


def _hold(
    invocation: Invocation, id_: str, *, suspended: bool, as_json: bool, budget: Budget | None = None
) -> None:
    async def work(service: SandboxService) -> Record:
        found = await find(service, id_)
        if isinstance(found, RunRecord):
            return await service.suspend_run(found.run_id, suspended=suspended, budget=budget)
        return await service.suspend_session(found.session_id, suspended=suspended, budget=budget)

    tell_state(invocation.call(work), as_json=as_json)


def tell_state(record: Record, *, as_json: bool) -> None:
    """Say how a run or session stands now."""
    if as_json:
        print_json(record)
    else:
        name = record.run_id if isinstance(record, RunRecord) else record.session_id
        note(f"{name}: {record.status}")


async def find(service: SandboxService, text: str) -> Record:
    """The run or session that a person means. Raises ServiceError `run_unknown` or `session_unknown`."""
    if not text.startswith("s-"):
        try:
            return await service.get_run(text)
        except ServiceError as error:
            if error.code != "run_unknown" or text.startswith("r-"):
                raise
    try:
        return await service.get_session(text)
    except ServiceError as error:
        if error.code != "session_unknown" or text.startswith("s-"):
            raise
        told = error.message.replace("no session", "no run and no session")
        raise ServiceError(error.code, told, "see: hutch ps --all, and hutch sessions") from None


def _row(run: RunRecord) -> tuple[str, ...]:
    return (
        run.run_id,
        _status(run),
        run.method,
        run.session_id or "",
        age(run.created_at),
        duration(run.duration_s),
        run.command,
        _doing(run),
    )


def _doing(record: Record) -> str:
    """What it is at, since when; a plain command only runs, which its status says."""
    return "" if record.note == record.status else doing_now(record)


def _status(run: RunRecord) -> str:
    if run.queue_place is not None:
        return f"queued, place {run.queue_place}"
    return f"{run.status}, unsynced" if run.unsynced else run.status


def _run(run: RunRecord, workspace: Mapping[str, object]) -> dict[str, object]:
    return {
        "run": run.run_id,
        "status": _status(run),
        "doing": _doing(run),
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
        "volumes": ", ".join(run.volumes),
        "snapshots": ", ".join(f"{name} at {number}" for name, number in run.snapshots.items()),
        "changed": "; ".join(
            f"{name}: {', '.join(agents_own_last(paths))}" for name, paths in run.changed.items() if paths
        ),
        **workspace,
        "unsynced": "; ".join(f"{name}: {why}" for name, why in run.unsynced.items()),
        "connections": traffic_fields(run.traffic),
        "refused": tuple(f"{where}: {why}" for where, why in run.refused.items()),
        "tokens": tokens(run.usage),
        "cost": cost(run.usage),
        "metered": metered(run.metered),
        "budgets": "; ".join(
            f"{budget['name']} (per {budget['per']}): {budget['spent']}" for budget in run.budgets
        ),
        **policy_fields(run.policy),
    }


def _session(session: SessionRecord, workspace: Mapping[str, object]) -> dict[str, object]:
    return {
        "session": session.session_id,
        "name": session.name,
        "status": session.status,
        "doing": _doing(session),
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
