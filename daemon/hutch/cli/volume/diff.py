"""`hutch volume diff`: what differs between two snapshots, told as git tells it."""

import sys

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import counted, json_option, note, print_json
from hutch.cli.terminal import Sink
from hutch.cli.volume.arguments import name_argument
from hutch.cli.waiting import Waiting, shown_waiting
from hutch_launchers.sizes import size
from hutch_mcp_tools.agents_own import AGENTS_OWN, is_agents_own
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import one_line, patch_name
from hutch_mcp_tools.volume_records import DiffRequest, VolumeChange, VolumeDiff

_PAGE = 10_000
_BAR = 40  # characters for the lines of one file
_COLOURS = {"A": "green", "M": "yellow", "D": "red"}


@click.command()
@name_argument
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option("--path", default="/", metavar="PATH", help="Only what is below it.")
@click.option("--working", is_flag=True, help="What the working folder holds that is not committed yet.")
@click.option("--stat", "with_stat", is_flag=True, help="How many lines of each file.")
@click.option("-p", "--patch", is_flag=True, help="The lines themselves.")
@json_option
@click.pass_obj
def diff(
    invocation: Invocation,
    /,
    *,
    name: str,
    a: str | None,
    b: str | None,
    path: str,
    working: bool,
    with_stat: bool,
    patch: bool,
    as_json: bool,
) -> None:
    """Show what differs between the snapshots A and B of volume NAME.

    B is the newest unless given. Without A: what the last run changed. What agents keep for themselves, in
    .hutch, is only counted; --path .hutch shows it.
    """
    if working and a is not None:
        raise click.UsageError("--working compares with the snapshot that the folder stands on")
    request = DiffRequest(
        volume=name, a=a, b=b, working=working, path=path, patch=patch or with_stat, limit=_PAGE
    )

    async def work(service: SandboxService) -> VolumeDiff:
        async with shown_waiting(f"comparing snapshots of volume {name}") as waiting:
            return await _whole(service, request, waiting)

    found = invocation.call(work)
    if as_json:
        print_json(found)
        return
    shown = [change for change in found.changes if is_agents_own(path) or not is_agents_own(change.path)]
    if patch:
        _print_patches(shown)
    elif with_stat:
        _print_stat(shown)
    else:
        for change in shown:
            click.secho(f"{change.kind} {_path(change)}", fg=_COLOURS[change.kind])
    _print_counts(found, len(found.changes) - len(shown))


def _print_counts(found: VolumeDiff, hidden: int) -> None:
    if hidden:
        note(f"{hidden} changed in {AGENTS_OWN}, where agents keep what is theirs: --path {AGENTS_OWN}")
    if sys.stderr.isatty():
        to = "the working folder" if found.b is None else f"snapshot {found.b}"
        note(f"{len(found.changes)} changed from snapshot {found.a} to {to}")


async def _whole(service: SandboxService, request: DiffRequest, waiting: Waiting) -> VolumeDiff:
    page = await service.diff_volume(request)
    changes = list(page.changes)
    while page.next is not None:
        waiting.now(f"comparing, {len(changes)} changes so far")
        ends = {"a": str(page.a), "b": str(page.b)} if page.b is not None else {}
        page = await service.diff_volume(request.model_copy(update={**ends, "offset": page.next}))
        changes += page.changes
    return page.model_copy(update={"changes": changes})


def _path(change: VolumeChange) -> str:
    entry = change.after or change.before
    is_folder = entry is not None and entry.kind == "folder"
    return one_line(change.path.removeprefix("/"), 400) + "/" * is_folder


def _print_patches(changes: list[VolumeChange]) -> None:
    sink = Sink(sys.stdout.buffer)
    for change in changes:
        for line in _patch(change):
            sink.write(line.encode(errors="surrogateescape"))
    sink.end()


def _patch(change: VolumeChange) -> list[str]:
    path = change.path.removeprefix("/")
    head = f"diff --git {patch_name(f'a/{path}')} {patch_name(f'b/{path}')}\n"
    modes = [f"{entry.mode:o}" if entry else "" for entry in (change.before, change.after)]
    if change.note:
        return [_styled(head, bold=True), f"not shown: {_sizes(change)}\n"]
    if change.patch:
        return [
            _styled(head, bold=True),
            *(_coloured(line) for line in change.patch.splitlines(keepends=True)),
        ]
    if change.kind == "M" and modes[0] != modes[1]:
        return [head, f"old mode {modes[0]}\nnew mode {modes[1]}\n"]
    return []


def _coloured(line: str) -> str:
    if line.startswith(("+++", "---")):
        return _styled(line, bold=True)
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return _styled(line, fg=colour) if colour else line


def _styled(text: str, fg: str | None = None, *, bold: bool | None = None) -> str:
    context = click.get_current_context()
    plain = context.color is False or not sys.stdout.isatty()
    return text if plain else click.style(text, fg=fg, bold=bold)


def _print_stat(changes: list[VolumeChange]) -> None:
    files = [change for change in changes if not _path(change).endswith("/")]
    width = max((len(_path(change)) for change in files), default=0)
    most = max((change.added + change.deleted for change in files), default=0)
    for change in files:
        told = _sizes(change) if change.note else _bar(change, most)
        click.echo(f"{change.kind} {_path(change).ljust(width)} | {told}")
    added, deleted = sum(change.added for change in files), sum(change.deleted for change in files)
    click.echo(f"{counted(len(files), 'file')} changed, {added} insertions(+), {deleted} deletions(-)")


def _bar(change: VolumeChange, most: int) -> str:
    lines = change.added + change.deleted
    scale = min(1.0, _BAR / most) if most else 0
    plus, minus = (round(count * scale) or int(count > 0) for count in (change.added, change.deleted))
    return f"{lines:>5} {click.style('+' * plus, fg='green')}{click.style('-' * minus, fg='red')}"


def _sizes(change: VolumeChange) -> str:
    before, after = (size(entry.size) if entry else "nothing" for entry in (change.before, change.after))
    return f"{change.note}, {before} -> {after}"
