"""`hutch ps`, `hutch show`, `hutch stop`: runs and their sessions, by what a person types."""

from typing import Any

import click

from hutch.cli import kinds
from hutch.cli.forks import hold_group
from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import (
    age,
    duration,
    json_option,
    note,
    print_fields,
    print_json,
    print_table,
)
from hutch.telling.records import (
    Record,
    doing,
    run_fields,
    session_fields,
    status,
    workspace_fields,
)
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import Budget

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
            run_fields(record, workspace)
            if isinstance(record, RunRecord)
            else session_fields(record, workspace)
        )


@click.command()
@click.argument("id_", metavar="ID")
@json_option
@click.pass_obj
def suspend(invocation: Invocation, /, *, id_: str, as_json: bool) -> None:
    """Hold a run, a session or a group of attempts still: it uses no processor, and its time does not run."""
    _hold(invocation, id_, suspended=True, as_json=as_json)


@click.command()
@click.argument("id_", metavar="ID")
@kinds.budget_options
@json_option
@click.pass_obj
def resume(invocation: Invocation, /, *, id_: str, as_json: bool, **budget: Any) -> None:
    """Let a suspended run, session or group go on, with more of the budget that it was given."""
    _hold(invocation, id_, suspended=False, as_json=as_json, budget=asked(Budget, **budget))


def _hold(
    invocation: Invocation, id_: str, *, suspended: bool, as_json: bool, budget: Budget | None = None
) -> None:
    if id_.startswith("g-"):
        hold_group(invocation, id_, suspended=suspended, as_json=as_json, budget=budget)
        return

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
        status(run),
        run.method,
        run.session_id or "",
        age(run.created_at),
        duration(run.duration_s),
        run.command,
        doing(run),
    )
