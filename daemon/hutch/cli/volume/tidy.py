"""`hutch volume thin`, `gc`: let go of what nobody needs. Both show first what they would do."""

from functools import partial

import click

from hutch.cli import kinds
from hutch.cli.invocation import Invocation, asked
from hutch.cli.output import json_option, note, print_json, print_table
from hutch.cli.volume.arguments import confirm, name_argument, volume_names, yes_option
from hutch.cli.waiting import shown_waiting
from hutch_launchers.sizes import size
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.volume_records import CollectedRecord, KeepRules, ThinnedRecord

dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Only show what would be done.")
_count = click.IntRange(min=0)


@click.command()
@name_argument
@click.option("--keep-all", "keep_all_s", type=kinds.duration, metavar="TIME", help="All that are younger.")
@click.option("--last", "keep_last", type=_count, metavar="N", help="The last N of the older ones.")
@click.option("--hourly", type=_count, metavar="N", help="The newest of an hour, for N hours.")
@click.option("--daily", type=_count, metavar="N", help="The newest of a day, for N days.")
@click.option("--weekly", type=_count, metavar="N", help="The newest of a week, for N weeks.")
@click.option("--monthly", type=_count, metavar="N", help="The newest of a month, for N months.")
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def thin(
    invocation: Invocation, /, *, name: str, dry_run: bool, yes: bool, as_json: bool, **rules: float | None
) -> None:
    """Let go of older snapshots of volume NAME. The options say what is kept instead of the defaults.

    The newest, and those with a tag or a fork, are always kept. `hutch volume gc` frees what only the others
    needed.
    """
    keep = asked(KeepRules, **rules)

    async def look(service: SandboxService) -> ThinnedRecord:
        return await service.thin_volume(name, keep, dry_run=True)

    async def work(service: SandboxService) -> ThinnedRecord:
        async with shown_waiting(f"thinning out volume {name}"):
            return await service.thin_volume(name, keep)

    found = invocation.call(look)
    if found.dropped and not dry_run:
        confirm(f"Let go of {_numbers(found.dropped)} of volume {name}, for good?", yes=yes)
        found = invocation.call(work)
    if as_json:
        print_json(found)
        return
    verb = "would let go of" if found.dry_run and found.dropped else "let go of"
    note(f"volume {name}: {verb} {_numbers(found.dropped)}")
    if found.dropped and not found.dry_run:
        note(f"what only they needed is freed, once it is a day old, by: hutch volume gc {name}")


@click.command()
@click.argument("name", required=False, shell_complete=volume_names)
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def gc(invocation: Invocation, /, *, name: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete what nothing needs any more, of volume NAME or of all: after thinning, and of removed volumes.

    What is young stays: somebody may be about to name it.
    """
    found = invocation.call(partial(_collect, name=name, dry_run=True))
    if any(map(_objects, found)) and not dry_run:
        if not as_json and not yes:
            _print(found)
        confirm("Delete it?", yes=yes)
        found = invocation.call(partial(_collect, name=name, dry_run=False))
    if as_json:
        print_json(found)
    else:
        _print(found)
        _conclude(found)


async def _collect(service: SandboxService, *, name: str | None, dry_run: bool) -> list[CollectedRecord]:
    async with shown_waiting("looking for what nothing needs") as waiting:
        names = [name] if name else await _names(service)
        found = []
        for each in names:
            waiting.now(f"{'looking' if dry_run else 'collecting'} through volume {each}")
            found.append(await service.collect_volume(each, dry_run=dry_run))
        return found


def _conclude(found: list[CollectedRecord]) -> None:
    if not any(map(_objects, found)):
        note(
            "there is nothing to delete; what was stored within a day stays, as does what can be brought back"
        )
    elif any(each.dry_run for each in found):
        note("nothing was deleted; without --dry-run it is")


async def _names(service: SandboxService) -> list[str]:
    """Every name that has a volume, or had one that was removed."""
    found = [*await service.list_volumes(), *await service.list_volumes(removed=True)]
    return sorted({volume.name for volume in found})


def _objects(found: CollectedRecord) -> int:
    return found.entries + found.checkpoints + found.packs + found.markers + found.volumes


def _print(found: list[CollectedRecord]) -> None:
    rows = [_row(each) for each in found if _objects(each)]
    if rows:
        print_table(("VOLUME", "PACKS", "ENTRIES", "CHECKPOINTS", "REMOVED VOLUMES", "SIZE"), rows)
    for each in found:
        if each.problem:
            note(f"volume {each.name}: {each.problem}")


def _row(found: CollectedRecord) -> tuple[str, ...]:
    counts = (found.packs, found.entries, found.checkpoints, found.volumes)
    return found.name, *map(str, counts), size(found.bytes)


def _numbers(numbers: list[int]) -> str:
    """Snapshots by number, what follows one on another as a range."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    told = ", ".join("-".join(map(str, each)) for each in ranges)
    return f"{len(numbers)} snapshot{'s' * (len(numbers) > 1)} ({told})" if numbers else "nothing"
