"""`hutch diff`, `apply`, `discard`: what a run or session changed in a workspace under review."""

import math
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from hutch.cli.invocation import Invocation, asked
from hutch.cli.keep import discard_group
from hutch.cli.kinds import duration
from hutch.cli.output import age, counted, json_option, note, print_json, print_table
from hutch.cli.refusal import report
from hutch.cli.terminal import Sink
from hutch_launchers.sizes import size
from hutch_mcp_tools.change_records import ApplyRequest, ChangesRequest, WorkspaceChange, WorkspaceChanges
from hutch_mcp_tools.change_text import is_gits_own
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import one_line

_PAGE = 10_000
_BAR = 40  # characters for the lines of one file
_COLOURS = {"A": "green", "M": "yellow", "D": "red"}


@click.command()
@click.argument("id", required=False, default="")
@click.argument("path", required=False, default="")
@click.option(
    "--stat", "with_stat", is_flag=True, help="How many lines of each file, not the lines themselves."
)
@json_option
@click.pass_obj
def diff(invocation: Invocation, /, *, id: str, path: str, with_stat: bool, as_json: bool) -> None:  # noqa: A002
    """Show what the run or session ID changed in its workspace, and what waits to be applied.

    PATH: only this file, or what is in this folder. Without ID: list what waits, of every run and session.
    """
    if not id:
        _list(invocation, as_json=as_json)
        return
    request = asked(ChangesRequest, id=id, path=path, limit=_PAGE)
    found = invocation.call(lambda service: _whole(service, request))
    if as_json:
        print_json(found)
        return
    told = [change for change in found.changes if not is_gits_own(change, path)]
    (_print_lines if with_stat else _print_patches)(told)
    if own := found.count - len(told):
        note(f"and {counted(own, 'file')} of git's own, as commits change them: hutch diff {id} .git")
    if sys.stderr.isatty():
        note(f"{counted(found.count, 'change')} of {found.folder}; hutch apply {id}, or hutch discard {id}")


@click.command()
@click.argument("id")
@click.argument("paths", nargs=-1)
@click.option("--skip", multiple=True, metavar="PATH", help="Leave this file or folder out; may be repeated.")
@click.option("--hunk", "hunks", multiple=True, metavar="FILE:N[,N]", help="Only these hunks of a file.")
@click.option("--include-executable", is_flag=True, help="Also what this machine would run by itself.")
@json_option
@click.pass_obj
def apply(
    invocation: Invocation,
    /,
    *,
    id: str,  # noqa: A002
    paths: tuple[str, ...],
    skip: tuple[str, ...],
    hunks: tuple[str, ...],
    include_executable: bool,
    as_json: bool,
) -> None:
    """Make what the run or session ID changed in the real folder: all, or PATHS; all of it or nothing."""
    request = asked(
        ApplyRequest,
        id=id,
        paths=list(paths),
        skip=list(skip),
        hunks=_hunks(hunks),
        include_executable=include_executable,
        agreed=True,
    )
    done = invocation.call(lambda service: service.apply_changes(request))
    if as_json:
        print_json(done)
        return
    for line in done.applied:
        click.secho(one_line(line, 400), fg=_COLOURS[line[0]])
    if done.count > len(done.applied):
        note(f"and {done.count - len(done.applied)} more")
    note(f"{counted(done.count, 'change')} applied to {done.folder}" + _rest(done.waiting, id))


@click.command()
@click.argument("id", required=False, default="")
@click.option("--older-than", type=duration, metavar="AGE", help="All that wait since then: 30d.")
@json_option
@click.pass_obj
def discard(
    invocation: Invocation,
    /,
    *,
    id: str,  # noqa: A002
    older_than: float | None,
    as_json: bool,
) -> None:
    """Forget what the run or session ID changed and was not applied. The real folder stays as it is.

    Of a group of attempts: remove their volumes, but of those at work. What was kept stays where it is.
    """
    if id.startswith("g-"):
        discard_group(invocation, id, as_json=as_json)
        return
    if bool(id) == (older_than is not None):
        raise click.UsageError("give the ID of a run, session or group, or --older-than")
    if older_than is None:
        found = [invocation.call(lambda service: service.discard_changes(id))]
    else:
        found = invocation.call(lambda service: _discard_old(service, timedelta(seconds=older_than)))
    if as_json:
        print_json(found if older_than is not None else found[0])
        return
    for each in found:
        note(f"{counted(each.count, 'change')} of {each.folder} discarded: {each.review}")
    if not found:
        note("nothing has waited so long")


async def _discard_old(service: SandboxService, age_: timedelta) -> list[WorkspaceChanges]:
    """Those at work wait for nothing yet."""
    listed = await service.list_reviews()
    old = [
        each for each in listed if each.changes is not None and datetime.now(UTC) - each.created_at >= age_
    ]
    return [await service.discard_changes(each.review) for each in old]


def tell_workspace(record: RunRecord) -> None:
    """Say on stderr what became of the workspace of a run, and what to do about it."""
    said = record.workspace
    if said.get("review") and said.get("changes"):
        count = said["changes"]
        waiting = "1 change waits" if count == 1 else f"{count} changes wait"
        note(f"{waiting}: hutch diff {said['review']}, hutch apply {said['review']}")
    if said.get("branch"):
        note(f"what it wrote is on the branch {said['branch']} of {said['folder']}")
    risky = said.get("would_run_on_host")
    if isinstance(risky, list) and risky:
        shown = ", ".join(one_line(str(path), 200) for path in risky[:5])
        report(f"this machine would run, or obey, what has changed: {shown}", "look at it before you go on")


def _list(invocation: Invocation, *, as_json: bool) -> None:
    found = invocation.call(lambda service: service.list_reviews())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.review,
            "at work" if each.changes is None else str(each.changes),
            "" if each.bytes is None else size(each.bytes),
            age(each.created_at),
            each.folder,
        )
        for each in found
    ]
    print_table(("REVIEW", "CHANGES", "SIZE", "AGE", "FOLDER"), rows)
    if not rows:
        note("nothing waits; changes of a folder do after: hutch run -w DIR:review …")


def _rest(waiting: int, review: str) -> str:
    if not waiting:
        return ""
    return f"; {counted(waiting, 'other')} still wait{'s' * (waiting == 1)}: hutch diff {review}"


def _hunks(texts: tuple[str, ...]) -> dict[str, list[int]]:
    wanted: dict[str, list[int]] = {}
    for text in texts:
        found = re.fullmatch(r"(.+):(\d+(?:,\d+)*)", text, re.ASCII | re.DOTALL)
        if not found:
            raise click.BadParameter(f"{text!r} is not a hunk; write FILE:2 or FILE:1,3", param_hint="--hunk")
        wanted.setdefault(found[1], []).extend(int(number) for number in found[2].split(","))
    return wanted


async def _whole(service: SandboxService, request: ChangesRequest) -> WorkspaceChanges:
    page = await service.get_changes(request)
    changes = list(page.changes)
    while page.next is not None:
        page = await service.get_changes(request.model_copy(update={"offset": page.next}))
        changes += page.changes
    return page.model_copy(update={"changes": changes})


def _print_patches(changes: Sequence[WorkspaceChange]) -> None:
    sink = Sink(sys.stdout.buffer, raw=False)
    for change in changes:
        if not change.patch or change.called_out or change.refused or change.conflict:
            sink.write(f"{_line(change)}\n".encode())
        sink.write(_numbered(change.patch or "").encode())
    sink.end()


def _numbered(patch: str) -> str:
    """A patch whose hunks say their numbers, as --hunk takes them, where git has a function's name."""
    file, *hunks = patch.split("\n@@ ")
    if len(hunks) == 1:
        return patch
    for number, hunk in enumerate(hunks, 1):
        where, mark, lines = hunk.partition(" @@\n")
        file += f"\n@@ {where} @@ hunk {number}\n{lines}" if mark else f"\n@@ {hunk}"
    return file


def _print_lines(changes: Sequence[WorkspaceChange]) -> None:
    most = max((change.added + change.deleted for change in changes), default=0)
    for change in changes:
        lines = change.added + change.deleted
        scale = min(1.0, _BAR / most) if most else 0.0
        bar = "+" * math.ceil(change.added * scale) + "-" * math.ceil(change.deleted * scale)
        click.secho(f"{_line(change)}{f'  {lines} {bar}' if lines else ''}", fg=_COLOURS[change.kind])


def _line(change: WorkspaceChange) -> str:
    said = [
        change.note,
        change.conflict and "the real one has changed too",
        change.refused,
        change.called_out,
    ]
    remarks = "; ".join(word for word in said if word)
    name = one_line(change.path, 400) + "/" * (change.what == "folder")
    return f"{change.kind} {name}" + (f"  ({remarks})" if remarks else "")
