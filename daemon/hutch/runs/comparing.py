"""Compares two snapshots of a volume, or a working folder with its snapshot, for the wire."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from anyio import to_thread

from hutch.runs.patch_text import TEXT_BYTES, PatchText, patch_text
from hutch.runs.reading import entry_record
from hutch.volumes import FileRead, TreeChange, TreeEntry, VolumeName, Volumes
from hutch_mcp_tools.volume_records import DiffRequest, VolumeChange, VolumeDiff

_PATCH_BYTES = 1 << 20  # of patches in one answer
_LOOKED_AT = 200  # snapshots, for the one before the last run


async def compare(volumes: Volumes, name: VolumeName, request: DiffRequest) -> VolumeDiff:
    """Return a page of what differs. Raises what `Volumes.diff` and `Volumes.diff_working` raise."""
    comparison = await _chosen(volumes, name, request)
    page: list[VolumeChange] = []
    room, number = _PATCH_BYTES, 0
    async with aclosing(comparison.changes(request.path)) as changes:
        async for change in changes:
            if number >= request.offset:
                if len(page) == request.limit or room <= 0:
                    return comparison.diff(page, number)
                page.append(await comparison.told(change, with_patch=request.patch))
                room -= len(page[-1].patch or "")
            number += 1
    return comparison.diff(page, None)


async def _chosen(volumes: Volumes, name: VolumeName, request: DiffRequest) -> "_Comparison":
    """Turn what the snapshots are called into numbers, so that every page compares the same two."""
    if request.working:
        return _Comparison(volumes, name, (await volumes.info(name)).snapshot, None)
    newer = (await volumes.read(name, "/", at=request.b, limit=1)).snapshot
    if request.a is not None:
        return _Comparison(
            volumes, name, (await volumes.read(name, "/", at=request.a, limit=1)).snapshot, newer
        )
    snapshots = [each for each in await volumes.log(name, _LOOKED_AT) if each.number <= newer]
    run = snapshots[0].run_id if snapshots else None
    before = next((each.number for each in snapshots if each.run_id != run), 0)
    return _Comparison(volumes, name, before, newer)


class _Comparison:
    """From snapshot `a` to snapshot `b`; None: the working folder of this host."""

    def __init__(self, volumes: Volumes, name: VolumeName, a: int, b: int | None) -> None:
        self._volumes = volumes
        self._name = name
        self._a = a
        self._b = b

    def changes(self, path: str) -> AsyncGenerator[TreeChange]:
        if self._b is None:
            return self._volumes.diff_working(self._name, prefix=path)
        return self._volumes.diff(self._name, self._a, self._b, prefix=path)

    def diff(self, page: list[VolumeChange], more: int | None) -> VolumeDiff:
        return VolumeDiff(volume=str(self._name), a=self._a, b=self._b, changes=page, next=more)

    async def told(self, change: TreeChange, *, with_patch: bool) -> VolumeChange:
        record = VolumeChange(
            kind=change.kind,
            path=change.path,
            before=entry_record(change.before) if change.before else None,
            after=entry_record(change.after) if change.after else None,
        )
        if not with_patch or {entry.kind for entry in (change.before, change.after) if entry} == {"folder"}:
            return record
        made = await self._patch(change)
        told = {"patch": made.text or None, "note": made.note, "added": made.added, "deleted": made.deleted}
        return record.model_copy(update=told)

    async def _patch(self, change: TreeChange) -> PatchText:
        sizes = [entry.size for entry in (change.before, change.after) if entry]
        if max(sizes) > TEXT_BYTES:
            return PatchText(note="too large")
        before = await self._content(change.before, self._a)
        after = await self._content(change.after, self._b)
        return await to_thread.run_sync(patch_text, change.path, before, after)

    async def _content(self, entry: TreeEntry | None, at: int | None) -> bytes | None:
        """What stands there, a link's target too, as git has it."""
        if entry is None or entry.kind == "folder":
            return None
        if entry.kind == "link":
            return (entry.target or "").encode()
        if at is None:
            return await self._volumes.read_working(self._name, entry.raw, TEXT_BYTES)
        read = await self._volumes.read(self._name, entry.raw, at=at, limit=TEXT_BYTES)
        return read.data if isinstance(read, FileRead) else None
