"""The volumes' part of the service."""

import base64
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import replace

from hutch.errors import HutchError
from hutch.runs.gate.answers import answers
from hutch.runs.volume_service.comparing import compare
from hutch.runs.volume_service.reading import read_volume
from hutch.runs.volume_service.transfer import put_archive, send_folder
from hutch.runs.volume_service.wire import (
    check_record,
    collected_record,
    snapshot_record,
    tag_record,
    thinned_record,
    volume_details,
    volume_record,
)
from hutch.volumes import RetentionRules, Snapshot, VolumeName, Volumes
from hutch_mcp_tools.events import Events, RunEvent
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

_MAX_PAGE = 200
_LOOKED_AT = 3200  # snapshots read for a page of their runs
_WRITER = "write_volume"  # who holds a volume for the moment of a single write


class VolumeService:
    """What may be asked of volumes. `named` reads a name as callers write it.

    `rules` and `removed_kept_s` are the daemon's own: which snapshots thinning keeps, and how long a removed
    volume can be brought back.
    """

    def __init__(
        self,
        volumes: Volumes,
        named: Callable[[str], VolumeName],
        *,
        rules: RetentionRules,
        removed_kept_s: float,
    ) -> None:
        self._volumes = volumes
        self._named = named
        self._rules = rules
        self._removed_kept_s = removed_kept_s

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
    async def list_volumes(self, *, removed: bool = False) -> list[VolumeRecord]:
        return [volume_record(info) for info in await self._volumes.list(removed=removed)]

    @answers
    async def volume_stat(self, volume: str) -> VolumeDetails:
        return volume_details(await self._volumes.stat(self._named(volume)))

    @answers
    async def volume_log(self, volume: str, limit: int = 20, *, every: bool = False) -> list[SnapshotRecord]:
        name, limit = self._named(volume), min(limit, _MAX_PAGE)
        found = await self._volumes.log(name, limit)
        if not every:
            found = await self._one_a_run(name, found, limit)
        return [snapshot_record(snapshot) for snapshot in found[:limit]]

    @answers
    async def diff_volume(self, request: DiffRequest) -> VolumeDiff:
        return await compare(self._volumes, self._named(request.volume), request)

    @answers
    async def restore_volume(self, volume: str, at: str, path: str = "/") -> SnapshotRecord | None:
        name = self._named(volume)
        before = await self._volumes.info(name)
        made = await self._volumes.restore(name, at, prefix=path, holder="volume restore")
        return None if made.number == before.snapshot else snapshot_record(made)

    @answers
    async def fork_volume(self, volume: str, to: str, at: str | None = None) -> VolumeRecord:
        return volume_record(await self._volumes.fork(self._named(volume), self._named(to), at=at))

    @answers
    async def remove_volume(self, volume: str) -> VolumeRecord:
        name = self._named(volume)
        record = volume_record(await self._volumes.info(name))
        await self._volumes.remove(name, holder="volume rm")
        return record

    @answers
    async def bring_back_volume(self, volume: str) -> VolumeRecord:
        return volume_record(await self._volumes.bring_back(self._named(volume)))

    @answers
    async def tag_volume(self, volume: str, label: str, at: str | None = None) -> TagRecord:
        return tag_record(await self._volumes.tag(self._named(volume), label, at))

    @answers
    async def untag_volume(self, volume: str, label: str) -> None:
        await self._volumes.untag(self._named(volume), label)

    @answers
    async def volume_tags(self, volume: str) -> list[TagRecord]:
        return [tag_record(tag) for tag in await self._volumes.tags(self._named(volume))]

    @answers
    async def thin_volume(
        self, volume: str, rules: KeepRules | None = None, *, dry_run: bool = False
    ) -> ThinnedRecord:
        asked = replace(self._rules, **rules.model_dump(exclude_none=True)) if rules else self._rules
        return thinned_record(await self._volumes.thin(self._named(volume), asked, dry_run=dry_run))

    @answers
    async def collect_volume(self, volume: str, *, dry_run: bool = False) -> CollectedRecord:
        done = self._volumes.gc(self._named(volume), grace_s=self._removed_kept_s, dry_run=dry_run)
        return collected_record(await done)

    @answers
    async def check_volume(self, volume: str, events: Events | None = None) -> CheckRecord:
        async def tell(count: int) -> None:
            if events is not None:
                await events.send(RunEvent(note=f"{count / 1e6:.0f} MB so far"))

        return check_record(await self._volumes.check(self._named(volume), tell))

    async def _one_a_run(self, name: VolumeName, found: Sequence[Snapshot], limit: int) -> Sequence[Snapshot]:
        """Leave out what a run committed on its way to what it committed last."""
        asked = limit
        while True:
            runs = [None, *(each.run_id for each in found)]  # of the next newer one
            last = [
                each
                for each, newer in zip(found, runs, strict=False)
                if not (each.while_running and each.run_id == newer)
            ]
            if len(last) >= limit or len(found) < asked or asked >= _LOOKED_AT:
                return last
            asked *= 4
            found = await self._volumes.log(name, asked)


def _content(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HutchError("request_invalid", "content_base64 is not base64") from error
