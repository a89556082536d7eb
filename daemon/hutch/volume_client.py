"""The volumes' part of the daemon's client."""

from collections.abc import AsyncIterable

from hutch.calls import Caller
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


class VolumeClient(Caller):
    """Each method a request to the daemon. Raises what `SandboxService` says."""

    async def read_volume(self, request: ReadVolumeRequest) -> VolumeContent:
        return await self._call("read_volume", VolumeContent, request=request)

    async def write_volume(self, request: WriteVolumeRequest) -> VolumeRecord:
        return await self._call("write_volume", VolumeRecord, request=request)

    async def export_volume(self, request: ExportRequest, events: Events | None = None) -> VolumeContent:
        return await self._call("export_volume", VolumeContent, events, request=request)

    async def import_volume(
        self, request: ImportRequest, data: AsyncIterable[bytes]
    ) -> SnapshotRecord | None:
        answer: type[SnapshotRecord | None] = SnapshotRecord | None  # type: ignore[assignment]
        return await self._call("import_volume", answer, data=data, request=request)

    async def list_volumes(self) -> list[VolumeRecord]:
        return await self._call("list_volumes", list[VolumeRecord])

    async def volume_log(self, volume: str, limit: int = 20) -> list[SnapshotRecord]:
        return await self._call("volume_log", list[SnapshotRecord], volume=volume, limit=limit)
