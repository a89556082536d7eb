"""`hutch compare`: attempts side by side, what each changed and cost, and whether a command passes in it."""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import click

from hutch.cli import kinds
from hutch.cli.forks import budget_lines, now
from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import (
    age,
    counted,
    dollars,
    duration,
    in_and_out,
    json_option,
    note,
    print_json,
    print_table,
)
from hutch.cli.terminal import Sink
from hutch.cli.waiting import shown_waiting
from hutch_mcp_tools.agents_own import is_agents_own
from hutch_mcp_tools.group_records import CHECK, AttemptRecord, AttemptsDiffRequest, GroupRecord
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.volume_records import VolumeChange

_HEADS = ("#", "SESSION", "OUTCOME", "TOOK", "TOKENS", "COST", "FILES", "LINES", "MODEL", "LAST MESSAGE")
_CHECKS_AT_ONCE = 2
_WAIT_S = 50.0
_UNDO_S = 30.0
_FILES = 50  # told on a terminal


@click.command()
@click.argument("ids", metavar="[GROUP|ID…]", nargs=-1)
@click.option("--check", metavar="COMMAND", help="Run this in a fork of each, and tell its exit code.")
@click.option("--timeout", type=kinds.duration, metavar="TIME", help="The most time of a check: 90s, 15m.")
@click.option("--net", metavar="NAME,…", help="Networks of the checks.")
@click.option("--method", metavar="NAME", help="How the sandboxes of checks are made.")
@click.option("--image", metavar="NAME", help="The root of the sandboxes of checks.")
@click.option("--diff", nargs=2, metavar="A B", help="What turns A into B: sessions, or their numbers.")
@click.option("--path", default="/", metavar="PATH", help="With --diff: below this one only.")
@click.option(
    "--files",
    type=click.IntRange(0, 1000),
    metavar="N",
    default=_FILES,
    show_default=True,
    help="At most so many of each.",
)
@json_option
@click.pass_obj
def compare(
    invocation: Invocation,
    /,
    *,
    ids: tuple[str, ...],
    diff: tuple[str, str] | None,
    path: str,
    files: int,
    as_json: bool,
    **checking: Any,
) -> None:
    """Show attempts side by side: what came of each, what it changed, what it has cost.

    GROUP is what `hutch agent --forks` answered with; ID any session. Without one: list the groups.
    """
    if not ids:
        _list(invocation, as_json=as_json)
    elif diff:
        _diff(invocation, ids, diff, path, as_json=as_json)
    else:
        _compare(invocation, ids, files, checking, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Check:
    """What a command came to in an attempt; `error`: why it was not run."""

    run_id: str = ""
    status: str = ""
    exit_code: int | None = None
    error: str = ""

    @property
    def told(self) -> str:
        if self.error:
            return self.error
        return f"exit {self.exit_code}" if self.exit_code is not None else self.status


def _compare(
    invocation: Invocation, ids: Sequence[str], files: int, checking: dict[str, Any], *, as_json: bool
) -> None:
    async def work(
        service: SandboxService,
    ) -> tuple[list[AttemptRecord], dict[str, Check], list[GroupRecord]]:
        async with shown_waiting("comparing"):
            attempts = await service.compare_attempts(list(ids), files)
            checks = await _checked(service, attempts, checking) if checking["check"] else {}
            groups = [] if as_json else [await service.get_group(id_) for id_ in ids if id_.startswith("g-")]
        return attempts, checks, groups

    attempts, checks, groups = invocation.call(work)
    if as_json:
        print_json([_with_check(each, checks) for each in attempts])
        return
    heads = (*_HEADS[:-1], *(["CHECK"] if checks else []), _HEADS[-1])
    print_table(heads, [_row(each, checks) for each in attempts])
    for group in groups:
        for line in budget_lines(group):
            print(line)
    _print_files(attempts)
    for volume, check in checks.items():
        if check.run_id and check.exit_code != 0:
            note(f"{volume}: hutch logs {check.run_id}")


def _with_check(attempt: AttemptRecord, checks: dict[str, Check]) -> dict[str, Any]:
    record: dict[str, Any] = attempt.model_dump(mode="json")
    if (check := checks.get(attempt.volume)) is None:
        return record
    told = {name: getattr(check, name) for name in ("run_id", "status", "exit_code", "error")}
    return record | {"check": told}


def _row(attempt: AttemptRecord, checks: dict[str, Check]) -> tuple[str, ...]:
    check = checks.get(attempt.volume)
    lines = f"+{attempt.added} -{attempt.deleted}" if attempt.files else ""
    more = " at least" if attempt.changed is not None and attempt.changed > len(attempt.files) else ""
    kept = f", kept as {attempt.kept_as}" if attempt.kept_as else ""
    return (
        str(attempt.number or ""),
        attempt.session_id or "",
        (attempt.state if attempt.is_at_work else _outcome(attempt)) + kept,
        duration(attempt.duration_s),
        in_and_out(attempt.tokens_in, attempt.tokens_out),
        dollars(attempt.cost_usd),
        "discarded" if attempt.changed is None else str(attempt.changed),
        lines + more * bool(lines),
        attempt.model or "",
        *([check.told if check else ""] if checks else []),
        now(attempt),
    )


def _outcome(attempt: AttemptRecord) -> str:
    """How its last turn ended, and why so."""
    _, separator, why = attempt.outcome.partition(";")
    return attempt.state + separator + why


def _print_files(attempts: Sequence[AttemptRecord]) -> None:
    """A line for each file, a column for each attempt."""
    paths = sorted({change.path for each in attempts for change in each.files})
    if not paths:
        return
    told = [{change.path: change for change in each.files} for each in attempts]
    rows = []
    for path in paths:
        found = [columns.get(path) for columns in told]
        cells = [f"{c.kind} {c.note or f'+{c.added} -{c.deleted}'}" if c else "." for c in found]
        rows.append((path.removeprefix("/"), *cells))
    print()
    print_table(("FILE", *(str(each.number or each.session_id) for each in attempts)), rows)
    left = [(each.changed or 0) - len(each.files) for each in attempts]
    if any(left):
        note(f"and up to {counted(max(left), 'file')} more of an attempt: --files N")


async def _checked(
    service: SandboxService, attempts: Sequence[AttemptRecord], checking: dict[str, Any]
) -> dict[str, Check]:
    """Run the command in a fork of each, so that nothing that it writes comes into what is compared."""
    found: dict[str, Check] = {}
    at_once = anyio.CapacityLimiter(_CHECKS_AT_ONCE)

    async def check(attempt: AttemptRecord) -> None:
        async with at_once:
            try:
                found[attempt.volume] = await _check(service, attempt, checking)
            except ServiceError as error:
                found[attempt.volume] = Check(error=f"{error.code}: {error.message}")

    async with anyio.create_task_group() as tasks:
        for attempt in attempts:
            if attempt.changed is not None:
                tasks.start_soon(check, attempt)
    return {attempt.volume: found[attempt.volume] for attempt in attempts if attempt.volume in found}


async def _check(service: SandboxService, attempt: AttemptRecord, checking: dict[str, Any]) -> Check:
    if attempt.workspace:
        return Check(error="its work is in a folder of this host, which is not forked")
    name = f"{attempt.volume}{CHECK}{secrets.token_hex(3)}"
    request = asked(
        RunRequest,
        command=checking["check"],
        volumes=[f"{name}={attempt.volume}"],
        network=checking["net"],
        method=checking["method"],
        image=checking["image"],
        timeout_s=checking["timeout"],
    )
    try:
        run = await service.run(request, _WAIT_S)
        while not run.is_ended:
            run = await service.get_run(run.run_id, _WAIT_S)
    finally:
        with anyio.move_on_after(_UNDO_S, shield=True):
            await _remove(service, name)
    return Check(run.run_id, run.status, run.exit_code)


async def _remove(service: SandboxService, name: str) -> None:
    """Remove a fork; one that stays is removed with its group."""
    try:
        await service.remove_volume(name)
    except ServiceError as error:
        if error.code != "volume_unknown":  # it was never made
            note(f"volume {name} stays until its group is discarded: {error.message}")


def _diff(
    invocation: Invocation, ids: Sequence[str], which: tuple[str, str], path: str, *, as_json: bool
) -> None:
    async def work(service: SandboxService) -> list[VolumeChange]:
        async with shown_waiting("comparing"):
            attempts = await service.compare_attempts(list(ids), 0)
            a, b = (_named(attempts, text) for text in which)
            offset: int | None = 0
            changes: list[VolumeChange] = []
            while offset is not None:
                page = await service.diff_attempts(AttemptsDiffRequest(a=a, b=b, path=path, offset=offset))
                changes += page.changes
                offset = page.next
        return changes

    changes = invocation.call(work)
    if as_json:
        print_json(changes)
        return
    told = [change for change in changes if is_agents_own(path) or not is_agents_own(change.path)]
    sink = Sink(sys.stdout.buffer)
    for change in told:
        shown = change.patch or f"{change.kind} {one_line(change.path, 400)} {change.note}".rstrip() + "\n"
        sink.write(shown.encode(errors="surrogateescape"))
    sink.end()
    if len(changes) > len(told):
        note(f"{len(changes) - len(told)} changed in what agents keep for themselves: --path .hutch")


def _named(attempts: Sequence[AttemptRecord], text: str) -> str:
    """The session that a number or the beginning of an id means."""
    found = [
        each.session_id
        for each in attempts
        if each.session_id and (str(each.number) == text or each.session_id.startswith(text))
    ]
    if len(found) != 1:
        raise click.UsageError(f"{text!r} is none, or several, of what is compared")
    return found[0]


def _list(invocation: Invocation, *, as_json: bool) -> None:
    groups = invocation.call(lambda service: service.list_groups())
    if as_json:
        print_json(groups)
        return
    rows = [
        (each.group_id, each.agent, f"{each.volume} at {each.snapshot}", age(each.created_at), each.prompt)
        for each in groups
    ]
    print_table(("GROUP", "AGENT", "VOLUME", "AGE", "TASK"), rows)
    if not rows:
        note("there is no group of attempts; begin one: hutch agent NAME --forks 3 …")
