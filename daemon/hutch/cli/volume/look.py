"""`hutch volume ls`, `tree`, `cat`: what is in a volume."""

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, json_option, print_json, print_table
from hutch.cli.terminal import Sink
from hutch.cli.volume.arguments import (
    at_option,
    folder_argument,
    name_argument,
    path_argument,
    volume_names,
)
from hutch.errors import HutchError
from hutch_launchers.sizes import size
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.volume_records import (
    ReadVolumeRequest,
    VolumeContent,
    VolumeEntry,
    VolumeRecord,
)

_PIECE = 4 << 20  # bytes read or written at once
_ENTRIES = 10_000  # of a folder, read at once
_DEPTH = 64  # of folders in a tree


@click.command()
@click.argument("name", required=False, shell_complete=volume_names)
@folder_argument
@at_option
@click.option("--removed", is_flag=True, help="The volumes that were removed and can be brought back.")
@json_option
@click.pass_obj
def ls(
    invocation: Invocation, /, *, name: str | None, path: str, at: str | None, removed: bool, as_json: bool
) -> None:
    """List the volumes, or the folder PATH of volume NAME."""
    if name is None:
        _list_volumes(invocation, removed=removed, as_json=as_json)
        return
    if removed:
        raise click.UsageError("--removed lists volumes; bring one back to look into it")

    async def work(service: SandboxService) -> list[VolumeEntry]:
        return [entry async for entry in _entries(service, name, path, at)]

    entries = invocation.call(work)
    if as_json:
        print_json(entries)
    else:
        print_table(("MODE", "SIZE", "CHANGED", "NAME"), (_entry(entry) for entry in entries))


@click.command()
@name_argument
@folder_argument
@at_option
@json_option
@click.pass_obj
def tree(invocation: Invocation, /, *, name: str, path: str, at: str | None, as_json: bool) -> None:
    """Show all that is in the folder PATH of volume NAME."""

    async def work(service: SandboxService) -> list[tuple[int, str, VolumeEntry]]:
        return [found async for found in _walk(service, name, path, at, 0)]

    found = invocation.call(work)
    if as_json:
        print_json([{"path": where, **entry.model_dump(mode="json")} for _, where, entry in found])
        return
    for depth, _, entry in found:
        mark = {"folder": "/", "link": f" -> {entry.target}", "file": ""}[entry.kind]
        print("  " * depth + one_line(entry.name + mark, 400))


@click.command()
@name_argument
@path_argument
@at_option
@click.option("--raw", is_flag=True, help="Give a terminal every byte, control sequences too.")
@json_option
@click.pass_obj
def cat(invocation: Invocation, /, *, name: str, path: str, at: str | None, raw: bool, as_json: bool) -> None:
    """Print the file PATH of volume NAME; with --json its content is base64."""
    data = bytearray()
    sink = Sink(sys.stdout.buffer, raw=raw)

    async def work(service: SandboxService) -> VolumeContent:
        snapshot, offset = at, 0
        while True:
            content = await _read(service, name, path, snapshot, offset)
            if content.kind != "file":
                raise HutchError(
                    "path_invalid", f"{path!r} is a {content.kind}", f"hutch volume ls {name} {path}"
                )
            piece = base64.b64decode(content.data_base64 or "")
            if as_json:
                data.extend(piece)
            else:
                sink.write(piece)
            if content.next is None:
                return content
            snapshot, offset = str(content.snapshot), content.next  # the next piece of the same state

    content = invocation.call(work)
    if as_json:
        whole = {"offset": 0, "next": None, "data_base64": base64.b64encode(data).decode()}
        print_json(content.model_copy(update=whole))
    else:
        sink.end()


def _list_volumes(invocation: Invocation, *, removed: bool, as_json: bool) -> None:
    async def work(service: SandboxService) -> list[VolumeRecord]:
        return await service.list_volumes(removed=removed)

    volumes = invocation.call(work)
    if as_json:
        print_json(volumes)
        return
    heads = ("VOLUME", "SNAPSHOT", "FILES", "SIZE", "AGE", "REMOVED" if removed else "HELD BY")
    print_table(heads, (_volume(volume) for volume in volumes))


def _volume(volume: VolumeRecord) -> tuple[str, ...]:
    last = f"{age(volume.removed_at)} ago" if volume.removed_at else volume.held_by or ""
    counts = str(volume.snapshot), str(volume.files), size(volume.bytes)
    return volume.name, *counts, age(volume.updated_at), last


async def _read(
    service: SandboxService, name: str, path: str, at: str | None, offset: int, limit: int = _PIECE
) -> VolumeContent:
    request = ReadVolumeRequest(volume=name, path=path, at=at, offset=offset, limit=limit)
    return await service.read_volume(request)


async def _entries(
    service: SandboxService, name: str, path: str, at: str | None
) -> AsyncIterator[VolumeEntry]:
    offset: int | None = 0
    while offset is not None:
        content = await _read(service, name, path, at, offset, _ENTRIES)
        if content.entries is None:
            raise HutchError(
                "path_invalid", f"{path!r} is a {content.kind}", f"hutch volume cat {name} {path}"
            )
        for entry in content.entries:
            yield entry
        at, offset = str(content.snapshot), content.next  # the next page of the same state


async def _walk(
    service: SandboxService, name: str, path: str, at: str | None, depth: int
) -> AsyncIterator[tuple[int, str, VolumeEntry]]:
    async for entry in _entries(service, name, path, at):
        where = str(PurePosixPath(path) / entry.name)
        yield depth, where, entry
        if entry.kind == "folder" and depth < _DEPTH:
            async for found in _walk(service, name, where, at, depth + 1):
                yield found


def _entry(entry: VolumeEntry) -> tuple[str, ...]:
    name = f"{entry.name} -> {entry.target}" if entry.kind == "link" else entry.name
    mark = {"folder": "d", "link": "l", "file": "-"}[entry.kind]
    moment = f"{entry.mtime:%Y-%m-%d %H:%M}" if entry.mtime else ""
    return (
        f"{mark} {entry.mode:04o}",
        size(entry.size) if entry.kind == "file" else "",
        moment,
        name + "/" * (entry.kind == "folder"),
    )
