"""The volumes of the fake service: the daemon's own part for them, on a store in memory."""

from collections.abc import Mapping
from pathlib import Path

from hutch.runs.volume_service.service import VolumeService
from hutch.volumes import MemoryStore, RetentionRules, VolumeName, Volumes


class FakeVolumes(VolumeService):
    def __init__(self, cache: Path) -> None:
        self.store = MemoryStore()
        self.engine = Volumes(self.store, cache)
        super().__init__(self.engine, VolumeName.parse, rules=RetentionRules(), removed_kept_s=7 * 86_400)

    async def put_volume(self, name: str, files: Mapping[str, bytes]) -> None:
        """Put all the files as one commit; the volume is made where there is none."""
        volume = VolumeName.parse(name)
        async with self.engine.lease(volume, "test", create=True) as lease, self.engine.scratch() as folder:
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            await self.engine.put_folder(lease, "/", folder)

    async def file(self, volume: str, path: str) -> bytes:
        """A file as it is now."""
        read = await self.engine.read(VolumeName.parse(volume), path)
        data: bytes = getattr(read, "data")  # noqa: B009
        return data
