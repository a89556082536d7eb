"""Reads a volume for the wire."""

import base64
from datetime import UTC, datetime
from typing import Any

from hutch.volumes import FileRead, FolderList, LinkTarget, TreeEntry, VolumeName, Volumes
from hutch_mcp_tools.volume_records import ReadVolumeRequest, VolumeContent, VolumeEntry


async def read_volume(volumes: Volumes, name: VolumeName, request: ReadVolumeRequest) -> VolumeContent:
    """Return what stands at a path of a snapshot. Raises what `Volumes.read` raises."""
    found = await volumes.read(name, request.path, at=request.at, offset=request.offset, limit=request.limit)
    return _content(request.volume, found)


def _content(volume: str, found: FileRead | FolderList | LinkTarget) -> VolumeContent:
    content = VolumeContent(
        volume=volume,
        path=found.entry.path,
        snapshot=found.snapshot,
        kind=found.entry.kind,
        mode=found.entry.mode,
        mtime=_time(found.entry),
        size=found.entry.size,
        offset=0,
    )
    match found:
        case FileRead(data=data):
            return _part(content, found, data_base64=base64.b64encode(data).decode("ascii"))
        case FolderList(entries=entries, total=total):
            return _part(content, found, size=total, entries=[entry_record(entry) for entry in entries])
        case LinkTarget(target=target):
            return content.model_copy(update={"target": target})


def _part(content: VolumeContent, found: FileRead | FolderList, **values: Any) -> VolumeContent:
    return content.model_copy(update={"offset": found.offset, "next": found.next, **values})


def entry_record(entry: TreeEntry) -> VolumeEntry:
    """One name in a folder."""
    return VolumeEntry(
        name=entry.name,
        kind=entry.kind,
        size=entry.size,
        mode=entry.mode,
        mtime=_time(entry),
        target=entry.target,
    )


def _time(entry: TreeEntry) -> datetime:
    return datetime.fromtimestamp(entry.mtime_ns / 1e9, UTC)
