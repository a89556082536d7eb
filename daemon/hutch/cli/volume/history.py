"""`hutch volume log`, `tag`, `untag`, `restore`, `fork`: snapshots, and what can be done with them."""

import shlex

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, counted, json_option, note, print_json, print_table
from hutch.cli.volume.arguments import at_option, name_argument
from hutch.cli.waiting import shown_waiting
from hutch_launchers.sizes import size
from hutch_mcp_tools.agents_own import agents_own_last
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.volume_records import SnapshotRecord, TagRecord, VolumeRecord

_CHANGED = 5  # paths told of each snapshot


@click.command()
@name_argument
@click.option("-n", "--limit", metavar="N", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("-a", "--all", "every", is_flag=True, help="Also what a run committed on its way.")
@json_option
@click.pass_obj
def log(invocation: Invocation, /, *, name: str, limit: int, every: bool, as_json: bool) -> None:
    """List the snapshots of volume NAME, newest first: of each run the last."""

    async def work(service: SandboxService) -> list[SnapshotRecord]:
        return await service.volume_log(name, limit, every=every)

    snapshots = invocation.call(work)
    if as_json:
        print_json(snapshots)
        return
    heads = ("SNAPSHOT", "TAGS", "BY", "AGE", "FILES", "SIZE", "CHANGES")
    print_table(heads, (_snapshot(snapshot) for snapshot in snapshots))


@click.command()
@name_argument
@click.argument("label", required=False)
@at_option
@json_option
@click.pass_obj
def tag(invocation: Invocation, /, *, name: str, label: str | None, at: str | None, as_json: bool) -> None:
    """Give a snapshot of volume NAME a name, under which it is kept for ever; without LABEL list the tags."""
    if label is None and at is not None:
        raise click.UsageError("say what the snapshot is to be called")

    async def work(service: SandboxService) -> list[TagRecord]:
        if label is None:
            return await service.volume_tags(name)
        return [await service.tag_volume(name, label, at)]

    tags = invocation.call(work)
    if as_json:
        print_json(tags if label is None else tags[0])
    elif label is None:
        rows = ((one.label, str(one.snapshot), age(one.created_at)) for one in tags)
        print_table(("TAG", "SNAPSHOT", "AGE"), rows)
    else:
        note(f"volume {name}: snapshot {tags[0].snapshot} is {label}")


@click.command()
@name_argument
@click.argument("label")
@click.pass_obj
def untag(invocation: Invocation, /, *, name: str, label: str) -> None:
    """Take the tag LABEL away; its snapshot is then as any other."""

    async def work(service: SandboxService) -> None:
        await service.untag_volume(name, label)

    invocation.call(work)


@click.command()
@name_argument
@click.argument("path", default="/")
@click.option(
    "--at", metavar="SNAPSHOT", required=True, help="A snapshot: its number, a tag, a time, an age."
)
@json_option
@click.pass_obj
def restore(invocation: Invocation, /, *, name: str, path: str, at: str, as_json: bool) -> None:
    """Make all below PATH of volume NAME what it was, as a new snapshot. Nothing is lost by it."""

    async def work(service: SandboxService) -> SnapshotRecord | None:
        async with shown_waiting(f"restoring {path} of volume {name}"):
            return await service.restore_volume(name, at, path)

    made = invocation.call(work)
    if as_json:
        print_json(made or {"snapshot": None, "changes": 0})
    elif made is None:
        note(f"volume {name}: nothing differs, so nothing was done")
    else:
        note(f"volume {name}: snapshot {made.snapshot}, {made.changes} changed")
        where = "" if path == "/" else f" {shlex.quote(path)}"
        note(f"to undo it: hutch volume restore {name}{where} --at {made.snapshot - 1}")


@click.command()
@name_argument
@click.argument("to", metavar="NEW")
@at_option
@json_option
@click.pass_obj
def fork(invocation: Invocation, /, *, name: str, to: str, at: str | None, as_json: bool) -> None:
    """Make volume NEW, which begins as volume NAME is. Takes no time and no space, however large it is."""

    async def work(service: SandboxService) -> VolumeRecord:
        return await service.fork_volume(name, to, at)

    made = invocation.call(work)
    if as_json:
        print_json(made)
    else:
        began = f"{name} at {at}" if at else name
        note(f"volume {made.name}: {counted(made.files, 'file')}, {size(made.bytes)}, as in {began}")


def _snapshot(snapshot: SnapshotRecord) -> tuple[str, ...]:
    more = ", …" if snapshot.changes > _CHANGED else ""
    changed = f"{snapshot.changes}: {', '.join(agents_own_last(snapshot.changed)[:_CHANGED])}{more}"
    left_out = f"; {snapshot.left_out_count} left out" if snapshot.left_out_count else ""
    return (
        f"{snapshot.snapshot}{'…' if snapshot.while_running else ''}",
        ", ".join(snapshot.tags),
        snapshot.run_id,
        age(snapshot.created_at),
        str(snapshot.files),
        size(snapshot.bytes),
        (changed if snapshot.changes else "none") + left_out,
    )
