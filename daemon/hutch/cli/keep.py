"""`hutch keep`, and `hutch discard` of a group: what becomes of attempts."""

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import counted, json_option, note, print_json
from hutch.cli.refusal import report
from hutch.cli.waiting import shown_waiting
from hutch_mcp_tools.group_records import AttemptRecord, KeptRecord
from hutch_mcp_tools.service import SandboxService


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--as", "to", metavar="NAME", help="As a new volume, instead of the one where it began.")
@json_option
@click.pass_obj
def keep(invocation: Invocation, /, *, id_: str, to: str | None, as_json: bool) -> None:
    """Make what the attempt ID (its session) left the next state of the volume where it began.

    Refused if that volume was written since. Its session goes on there; the other attempts stay.
    """
    if id_.startswith("g-"):
        raise click.UsageError(f"{id_} is a group; give an attempt of it: hutch compare {id_}")

    async def work(service: SandboxService) -> tuple[KeptRecord, AttemptRecord]:
        async with shown_waiting(f"keeping {id_}"):
            kept = await service.keep_attempt(id_, to)
            (attempt,) = await service.compare_attempts([kept.session_id], 0)
        return kept, attempt

    kept, attempt = invocation.call(work)
    if as_json:
        print_json(kept)
        return
    changed = f", {counted(kept.changes, 'change')}" if kept.changes else ""
    note(f"volume {kept.volume}: snapshot {kept.snapshot}{changed}, is what {kept.session_id} left")
    if attempt.workspace.get("review") and attempt.workspace.get("changes"):
        note(f"what it changed in {attempt.workspace['folder']} waits: hutch apply {kept.session_id}")
    note(f"its session goes on there; remove the other attempts: hutch discard {kept.group_id}")


def discard_group(invocation: Invocation, group_id: str, *, as_json: bool) -> None:
    """Remove the volumes of a group's attempts, and say which are left."""
    done = invocation.call(lambda service: service.discard_group(group_id))
    if as_json:
        print_json(done)
        return
    note(f"{counted(len(done.removed), 'volume')} removed: {', '.join(done.removed)}")
    if done.removed:
        note("one that was removed can be brought back for some days: hutch volume bring-back NAME")
    for volume, why in done.left.items():
        report(f"volume {volume} is left: {why}", f"hutch stop {done.group_id}, then discard it again")
