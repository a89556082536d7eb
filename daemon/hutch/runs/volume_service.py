"""The volumes' part of the service."""

import base64
from collections.abc import AsyncIterable, Callable

from hutch.errors import HutchError
from hutch.runs.answers import answers
from hutch.runs.reading import read_volume
from hutch.runs.transfer import put_archive, send_folder
from hutch.runs.volume_wire import snapshot_record, volume_record
from hutch.volumes import VolumeName, Volumes
from hutch_mcp_tools.service import Events
from hutch_mcp_tools.volume_records import (
    ExportRequest,
    ImportRequest,
    ReadVolumeRequest,
    SnapshotRecord,
    VolumeContent,
    VolumeRecord,
    WriteVolumeRequest,
)

_MAX_PAGE = 200
_WRITER = "write_volume"  # who holds a volume for the moment of a single write


class VolumeService:
    """What may be asked of volumes. `named` reads a name as callers write it."""

    def __init__(self, volumes: Volumes, named: Callable[[str], VolumeName]) -> None:
        self._volumes = volumes
        self._named = named

    @answers
    async def read_volume(self, request: ReadVolumeRequest) -> VolumeContent:
        return await read_volume(self._volumes, self._named(request.volume), request)

    @answers
    async def write_volume(self, request: WriteVolumeRequest) -> VolumeRecord:
        name = self._named(request.volume)
        await self._volumes.write(
            name,
            request.path,
            _content(request.content_base64),
            mode=request.mode,
            executable=request.executable,
            holder=_WRITER,
        )
        return volume_record(await self._volumes.info(name))

    @answers
    async def export_volume(self, request: ExportRequest, events: Events | None = None) -> VolumeContent:
        name = self._named(request.volume)
        asked = ReadVolumeRequest(volume=request.volume, path=request.path, at=request.at, limit=1)
        content = await read_volume(self._volumes, name, asked)
        if events is not None:
            await send_folder(self._volumes, name, request.path, content.snapshot, events)
        return content.model_copy(update={"entries": None, "next": None})

    @answers
    async def import_volume(
        self, request: ImportRequest, data: AsyncIterable[bytes]
    ) -> SnapshotRecord | None:
        name = self._named(request.volume)
        made = await put_archive(self._volumes, name, request.path, data, replaces=request.replaces)
        return None if made is None else snapshot_record(made)

    @answers
    async def list_volumes(self) -> list[VolumeRecord]:
        return [volume_record(info) for info in await self._volumes.list()]

    @answers
    async def volume_log(self, volume: str, limit: int = 20) -> list[SnapshotRecord]:
        snapshots = await self._volumes.log(self._named(volume), limit=min(limit, _MAX_PAGE))
        return [snapshot_record(snapshot) for snapshot in snapshots]


def _content(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HutchError("request_invalid", "content_base64 is not base64") from error
