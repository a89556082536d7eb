"""The volumes of the fake service: files in memory, one snapshot for ever."""

from base64 import b64decode, b64encode

from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import (
    ReadVolumeRequest,
    SnapshotRecord,
    VolumeContent,
    VolumeEntry,
    VolumeRecord,
    WriteVolumeRequest,
)


class FakeVolumes:
    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, bytes]] = {}

    async def read_volume(self, request: ReadVolumeRequest) -> VolumeContent:
        files = self._volume(request.volume)
        path = "/".join(part for part in request.path.split("/") if part)
        content = {"volume": request.volume, "path": f"/{path}", "snapshot": 1, "offset": request.offset}
        stop = request.offset + request.limit
        if path in files:
            data = files[path]
            content |= {"kind": "file", "size": len(data), "next": stop if stop < len(data) else None}
            content |= {"data_base64": b64encode(data[request.offset : stop]).decode()}
            return VolumeContent.model_validate(content)
        prefix = f"{path}/" if path else ""
        names = sorted({name[len(prefix) :] for name in files if name.startswith(prefix)})
        if not names:
            raise ServiceError("path_unknown", f"volume {request.volume!r} has no {request.path!r}")
        entries = {
            name.partition("/")[0]: VolumeEntry(name=name, kind="file", size=len(files[prefix + name]))
            if "/" not in name
            else VolumeEntry(name=name.partition("/")[0], kind="folder")
            for name in names
        }
        content |= {"kind": "folder", "size": len(entries), "next": stop if stop < len(entries) else None}
        content |= {"entries": list(entries.values())[request.offset : stop]}
        return VolumeContent.model_validate(content)

    async def write_volume(self, request: WriteVolumeRequest) -> VolumeRecord:
        files = self.volumes.setdefault(request.volume, {})
        path, data = request.path.strip("/"), b64decode(request.content_base64)
        if request.mode == "create" and path in files:
            raise ServiceError(
                "path_taken", f"there is a file {request.path!r} already", 'use mode="overwrite"'
            )
        files[path] = files.get(path, b"") + data if request.mode == "append" else data
        return self._volume_record(request.volume)

    async def list_volumes(self) -> list[VolumeRecord]:
        return [self._volume_record(name) for name in self.volumes]

    async def volume_log(self, volume: str, limit: int = 20) -> list[SnapshotRecord]:
        self._volume(volume)
        return []

    def _volume(self, name: str) -> dict[str, bytes]:
        if name not in self.volumes:
            raise ServiceError("volume_unknown", f"no volume is called {name!r}", "see list_volumes")
        return self.volumes[name]

    def _volume_record(self, name: str) -> VolumeRecord:
        files = self.volumes[name]
        return VolumeRecord(name=name, snapshot=1, files=len(files), bytes=sum(map(len, files.values())))
