"""The volumes' part of the daemon's client."""

from collections.abc import AsyncIterable

from hutch.calls import Caller
from hutch_mcp_tools.events import Events
from hutch_mcp_tools.volume_records import (
    CheckRecord,
    CollectedRecord,
    DiffRequest,
    ExportRequest,
    ImportRequest,
    KeepRules,
    ReadVolumeRequest,
    SnapshotRecord,
    TagRecord,
    ThinnedRecord,
    VolumeContent,
    VolumeDetails,
    VolumeDiff,
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

    async def list_volumes(self, *, removed: bool = False) -> list[VolumeRecord]:
        return await self._call("list_volumes", list[VolumeRecord], removed=removed)

    async def volume_stat(self, volume: str) -> VolumeDetails:
        return await self._call("volume_stat", VolumeDetails, volume=volume)

    async def volume_log(self, volume: str, limit: int = 20, *, every: bool = False) -> list[SnapshotRecord]:
        return await self._call("volume_log", list[SnapshotRecord], volume=volume, limit=limit, every=every)

    async def diff_volume(self, request: DiffRequest) -> VolumeDiff:
        return await self._call("diff_volume", VolumeDiff, request=request)

    async def restore_volume(self, volume: str, at: str, path: str = "/") -> SnapshotRecord | None:
        answer: type[SnapshotRecord | None] = SnapshotRecord | None  # type: ignore[assignment]
        return await self._call("restore_volume", answer, volume=volume, at=at, path=path)

    async def fork_volume(self, volume: str, to: str, at: str | None = None) -> VolumeRecord:
        return await self._call("fork_volume", VolumeRecord, volume=volume, to=to, at=at)

    async def remove_volume(self, volume: str) -> VolumeRecord:
        return await self._call("remove_volume", VolumeRecord, volume=volume)

    async def bring_back_volume(self, volume: str) -> VolumeRecord:
        return await self._call("bring_back_volume", VolumeRecord, volume=volume)

    async def tag_volume(self, volume: str, label: str, at: str | None = None) -> TagRecord:
        return await self._call("tag_volume", TagRecord, volume=volume, label=label, at=at)

    async def untag_volume(self, volume: str, label: str) -> None:
        await self._call("untag_volume", type(None), volume=volume, label=label)

    async def volume_tags(self, volume: str) -> list[TagRecord]:
        return await self._call("volume_tags", list[TagRecord], volume=volume)

    async def thin_volume(
        self, volume: str, rules: KeepRules | None = None, *, dry_run: bool = False
    ) -> ThinnedRecord:
        return await self._call("thin_volume", ThinnedRecord, volume=volume, rules=rules, dry_run=dry_run)

    async def collect_volume(self, volume: str, *, dry_run: bool = False) -> CollectedRecord:
        return await self._call("collect_volume", CollectedRecord, volume=volume, dry_run=dry_run)

    async def check_volume(self, volume: str, events: Events | None = None) -> CheckRecord:
        return await self._call("check_volume", CheckRecord, events, volume=volume)
