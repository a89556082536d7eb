"""`hutch volume get`: files and folders out of a volume, with modes and times."""

import base64
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import anyio
import click
from anyio import from_thread, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note, print_json
from hutch.cli.volume.arguments import at_option, name_argument, path_argument
from hutch.cli.waiting import Carried, shown_waiting
from hutch.errors import HutchError
from hutch_mcp_tools.events import RunEvent
from hutch_mcp_tools.service import SandboxService, ServiceError
from hutch_mcp_tools.volume_records import ExportRequest, ReadVolumeRequest, VolumeContent

_PIECE = 4 << 20  # bytes of a file read at once
_UNDER_WAY = 8  # pieces of an archive in memory


@click.command()
@name_argument
@path_argument
@click.argument("dest", default="", metavar="[DEST]")
@at_option
@click.option("-f", "--force", is_flag=True, help="Replace files that are there already.")
@json_option
@click.pass_obj
def get(
    invocation: Invocation, /, *, name: str, path: str, dest: str, at: str | None, force: bool, as_json: bool
) -> None:
    """Copy the file or folder PATH of volume NAME to DEST, the current folder unless given.

    Into a DEST that is a folder already it comes under its own name; folders that are missing above DEST are
    made. DEST - is standard output: a file as
    it is, a folder as a tar archive.
    """

    async def work(service: SandboxService) -> VolumeContent:
        async with shown_waiting(f"getting {path} of volume {name}") as waiting:
            request = ReadVolumeRequest(volume=name, path=path, at=at, limit=_PIECE)
            found = await service.read_volume(request)
            carried = Carried(waiting, "getting")
            if dest == "-":
                await _print(service, found, carried)
                return found
            target = _target(dest, found)
            _refuse_to_replace(target, found, force=force)
            if found.kind == "folder":
                await _get_folder(service, found, target, carried, force=force)
            else:
                await _get_file(service, found, target, carried)
            waiting.over()
            note(f"{target}: from volume {name}, snapshot {found.snapshot}")
            return found

    found = invocation.call(work)
    if as_json:
        print_json(found.model_copy(update={"data_base64": None, "entries": None, "next": None}))


def _target(dest: str, found: VolumeContent) -> Path:
    """Where it goes, as cp has it: into DEST where that is a folder."""
    name = PurePosixPath(found.path).name or found.volume.rpartition("/")[2]
    target = Path(dest or ".")
    return target / name if target.is_dir() else target


def _refuse_to_replace(target: Path, found: VolumeContent, *, force: bool) -> None:
    if not os.path.lexists(target):
        return
    if not force:
        raise HutchError("file_exists", f"{target} exists", "name another DEST, or replace it: --force")
    if (target.is_dir() and not target.is_symlink()) != (found.kind == "folder"):
        raise HutchError("file_exists", f"{target} is not a {found.kind}", "name another DEST")


async def _get_file(service: SandboxService, found: VolumeContent, target: Path, carried: Carried) -> None:
    """Whole or not at all: it appears under its name when all of it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".hutch-") as folder:
        part = Path(folder) / "file"
        if found.kind == "link":
            part.symlink_to(found.target or "")
        else:
            with part.open("wb") as file:
                await _read(service, found, file, carried)
            part.chmod(found.mode & 0o777)
            if found.mtime is not None:
                os.utime(part, (found.mtime.timestamp(), found.mtime.timestamp()))
        part.replace(target)


async def _read(service: SandboxService, found: VolumeContent, file: IO[bytes], carried: Carried) -> None:
    while True:
        data = base64.b64decode(found.data_base64 or "")
        file.write(data)
        carried.more(len(data))
        if found.next is None:
            return
        found = await service.read_volume(
            ReadVolumeRequest(
                volume=found.volume,
                path=found.path,
                at=str(found.snapshot),
                offset=found.next,
                limit=_PIECE,
            )
        )


async def _get_folder(
    service: SandboxService, found: VolumeContent, target: Path, carried: Carried, *, force: bool
) -> None:
    from hutch.volumes.transfer.archive_reader import read_archive

    target.mkdir(parents=True, exist_ok=True)
    async with _archive(service, found, carried) as pieces:
        unpacked = await to_thread.run_sync(partial(read_archive, pieces, target, replace=force))
    if unpacked.lost_xattrs:
        note(f"{unpacked.lost_xattrs} files lost their attributes: the disk keeps none")


async def _print(service: SandboxService, found: VolumeContent, carried: Carried) -> None:
    carried.waiting.over()  # the output itself is the sign of life
    if found.kind == "file":
        await _read(service, found, sys.stdout.buffer, carried)
        return
    if found.kind == "link" or sys.stdout.isatty():
        hint = "name a DEST" if found.kind == "link" else "send it on: … - | tar x"
        raise HutchError("path_invalid", f"{found.path!r} is a {found.kind}, not for a terminal", hint)
    async with _archive(service, found, carried) as pieces:
        await to_thread.run_sync(partial(shutil.copyfileobj, pieces, sys.stdout.buffer))


class _Pieces:
    """An archive that comes in events, as a thread's file."""

    def __init__(self, events: MemoryObjectReceiveStream[RunEvent], carried: Carried) -> None:
        self._events = events
        self._carried = carried
        self._left = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        while not self._left:
            try:
                self._left = memoryview(from_thread.run(self._events.receive).data)
            except anyio.EndOfStream:
                return b""
            from_thread.run_sync(self._carried.more, len(self._left))
        size = len(self._left) if size < 0 else size
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)


@asynccontextmanager
async def _archive(
    service: SandboxService, found: VolumeContent, carried: Carried
) -> AsyncGenerator[_Pieces]:
    """A folder's archive as it comes; only leaving the block without an error means that it was whole.

    Where the daemon ended it, its reason is raised, and not what is wrong with an archive that is cut short.
    """
    send, receive = anyio.create_memory_object_stream[RunEvent](_UNDER_WAY)
    request = ExportRequest(volume=found.volume, path=found.path, at=str(found.snapshot))
    refused: list[ServiceError] = []

    async def export() -> None:
        try:
            with send:
                await service.export_volume(request, send)
        except ServiceError as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(export)
        with receive:
            try:
                yield _Pieces(receive, carried)
            except HutchError:
                if refused:
                    raise refused[0] from None
                raise
    if refused:
        raise refused[0]
