"""`hutch volume log`: what became of a volume."""

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, json_option, print_json, print_table, size
from hutch.cli.volume.arguments import name_argument
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.volume_records import SnapshotRecord


@click.command()
@name_argument
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@json_option
@click.pass_obj
def log(invocation: Invocation, /, *, name: str, limit: int, as_json: bool) -> None:
    """List the snapshots of volume NAME, newest first."""

    async def work(service: SandboxService) -> list[SnapshotRecord]:
        return await service.volume_log(name, limit)

    snapshots = invocation.call(work)
    if as_json:
        print_json(snapshots)
    else:
        heads = ("SNAPSHOT", "BY", "AGE", "FILES", "SIZE", "CHANGES")
        print_table(heads, (_snapshot(snapshot) for snapshot in snapshots))


def _snapshot(snapshot: SnapshotRecord) -> tuple[str, ...]:
    changed = ", ".join(snapshot.changed[:5])
    more = snapshot.changes - len(snapshot.changed[:5])
    return (
        str(snapshot.snapshot),
        snapshot.run_id,
        age(snapshot.created_at),
        str(snapshot.files),
        size(snapshot.bytes),
        f"{changed}, {more} more" if changed and more > 0 else changed,
    )
