"""`hutch volume`: files that last, and the history of what became of them."""

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import IO, Any

import click

from hutch.cli.invocation import Invocation
from hutch.cli.output import age, json_option, note, print_json, print_table, size
from hutch.cli.share import share
from hutch.cli.terminal import Sink
from hutch.errors import HutchError
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import one_line
from hutch_mcp_tools.volume_records import (
    ReadVolumeRequest,
    SnapshotRecord,
    VolumeContent,
    VolumeEntry,
    VolumeRecord,
    WriteVolumeRequest,
)

_PIECE = 4 << 20  # bytes read or written at once
_ENTRIES = 10_000  # of a folder, read at once
_DEPTH = 64  # of folders in a tree

at_option = click.option("--at", metavar="SNAPSHOT", help="As it was then; the newest unless given.")


@click.group()
def volume() -> None:
    """Look into volumes and their history."""


volume.add_command(share)


@volume.command()
@click.argument("name", required=False)
@click.argument("path", default="/")
@at_option
@json_option
@click.pass_obj
def ls(invocation: Invocation, /, *, name: str | None, path: str, at: str | None, as_json: bool) -> None:
    """List the volumes, or the folder PATH of volume NAME."""
    if name is None:
        _list_volumes(invocation, as_json=as_json)
        return

    async def work(service: SandboxService) -> list[VolumeEntry]:
        return [entry async for entry in _entries(service, name, path, at)]

    entries = invocation.call(work)
    if as_json:
        print_json(entries)
    else:
        print_table(("MODE", "SIZE", "CHANGED", "NAME"), (_entry(entry) for entry in entries))


@volume.command()
@click.argument("name")
@click.argument("path", default="/")
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


@volume.command()
@click.argument("name")
@click.argument("path")
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


@volume.command()
@click.argument("volume", metavar="NAME")
@click.argument("path")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--create", is_flag=True, help="Refuse to replace a file.")
@click.option("-x", "--executable", is_flag=True)
@json_option
@click.pass_obj
def put(invocation: Invocation, /, *, file: IO[bytes], create: bool, as_json: bool, **target: Any) -> None:
    """Write FILE, or standard input, to PATH of volume NAME; the volume is made if there is none.

    More than 4 MiB is written in pieces, a snapshot each.
    """

    async def work(service: SandboxService) -> VolumeRecord:
        piece, mode = file.read(_PIECE), "create" if create else "overwrite"
        while True:
            request = WriteVolumeRequest.model_validate(
                {**target, "content_base64": base64.b64encode(piece).decode(), "mode": mode}
            )
            record = await service.write_volume(request)
            piece, mode = file.read(_PIECE), "append"
            if not piece:
                return record

    record = invocation.call(work)
    if as_json:
        print_json(record)
    else:
        note(f"volume {record.name}: snapshot {record.snapshot}")


@volume.command()
@click.argument("name")
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


def _list_volumes(invocation: Invocation, *, as_json: bool) -> None:
    async def work(service: SandboxService) -> list[VolumeRecord]:
        return await service.list_volumes()

    volumes = invocation.call(work)
    if as_json:
        print_json(volumes)
        return
    heads = ("VOLUME", "SNAPSHOT", "FILES", "SIZE", "AGE", "HELD BY")
    print_table(
        heads,
        (
            (v.name, str(v.snapshot), str(v.files), size(v.bytes), age(v.updated_at), v.held_by or "")
            for v in volumes
        ),
    )


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
    return (f"{mark} {entry.mode:04o}", size(entry.size), moment, name + "/" * (entry.kind == "folder"))


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
