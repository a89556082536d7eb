"""`hutch volume stat`, `rm`, `bring-back`, `check`: whole volumes."""

from collections.abc import Callable
from functools import partial

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, counted, json_option, note, print_fields, print_json
from hutch.cli.volume.arguments import confirm, name_argument, volume_names, yes_option
from hutch.cli.waiting import noting, shown_waiting
from hutch.exit_codes import FAILED
from hutch_launchers.sizes import size
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.volume_records import CheckRecord, VolumeDetails, VolumeRecord


@click.command()
@name_argument
@yes_option
@json_option
@click.pass_obj
def rm(invocation: Invocation, /, *, name: str, yes: bool, as_json: bool) -> None:
    """Remove volume NAME with its history. For some days it can be brought back."""

    async def find(service: SandboxService) -> VolumeRecord | None:
        return next((one for one in await service.list_volumes() if one.name == name), None)

    if not yes:
        found = invocation.call(find)
        what = f"{counted(found.files, 'file')}, {size(found.bytes)}, " if found else ""
        confirm(f"Remove volume {name}, {what}and its history?", yes=yes)

    async def work(service: SandboxService) -> VolumeRecord:
        return await service.remove_volume(name)

    gone = invocation.call(work)
    if as_json:
        print_json(gone)
    else:
        note(f"volume {gone.name} is removed; to undo it: hutch volume bring-back {gone.name}")


@click.command()
@name_argument
@json_option
@click.pass_obj
def stat(invocation: Invocation, /, *, name: str, as_json: bool) -> None:
    """Say what volume NAME holds, what it costs in the store, and how far it may grow."""

    async def work(service: SandboxService) -> VolumeDetails:
        return await service.volume_stat(name)

    found = invocation.call(work)
    if as_json:
        print_json(found)
        return
    volume, tags = found.volume, ", ".join(f"{tag.label} ({tag.snapshot})" for tag in found.tags)
    print_fields(
        {
            "volume": volume.name,
            "newest snapshot": volume.snapshot,
            "committed": f"{age(volume.updated_at)} ago" if volume.updated_at else "",
            "held by": volume.held_by,
            "files": _bounded(str(volume.files), found.max_files, str),
            "size": _bounded(size(volume.bytes), found.max_bytes, size),
            "snapshots": found.snapshots,
            "tags": tags,
            "in the store": size(found.stored_bytes),
            "of it for history": _bounded(size(found.history_bytes), found.max_history_bytes, size),
            "fork of": found.parent,
            "shared with it": size(found.shared_bytes) if found.parent else "",
            "forks": found.forks or "",
        }
    )


def _bounded(text: str, bound: int, told: Callable[[int], str]) -> str:
    return f"{text} of at most {told(bound)}" if bound else text


@click.command("bring-back")
@click.argument("name", shell_complete=partial(volume_names, removed=True))
@json_option
@click.pass_obj
def bring_back(invocation: Invocation, /, *, name: str, as_json: bool) -> None:
    """Undo the removal of volume NAME. `hutch volume ls --removed` lists what can come back."""

    async def work(service: SandboxService) -> VolumeRecord:
        return await service.bring_back_volume(name)

    back = invocation.call(work)
    if as_json:
        print_json(back)
    else:
        note(
            f"volume {back.name}: snapshot {back.snapshot}, {counted(back.files, 'file')}, {size(back.bytes)}"
        )


@click.command()
@name_argument
@json_option
@click.pass_obj
def check(invocation: Invocation, /, *, name: str, as_json: bool) -> int:
    """Read all that volume NAME needs, its history too, and prove it whole. Ends with 1 if it is not."""

    async def work(service: SandboxService) -> CheckRecord:
        what = f"reading all of volume {name}"
        async with shown_waiting(what) as waiting, noting(waiting, what) as events:
            return await service.check_volume(name, events)

    report = invocation.call(work)
    if as_json:
        print_json(report)
    else:
        counts = {kind: getattr(report, kind) for kind in ("entries", "checkpoints", "packs", "blocks")}
        outcome = "damaged" if report.problems else "whole"
        print_fields({"volume": report.name, "is": outcome, **counts, "read": size(report.bytes_read)})
        for problem in report.problems:
            note(f"error: {problem}")
    return FAILED if report.problems else 0
