"""Compares two snapshots of a volume, or a working folder with its snapshot, for the wire."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from anyio import to_thread

from hutch.runs.volume_service.patch_text import TEXT_BYTES, PatchText, patch_text
from hutch.runs.volume_service.reading import entry_record
from hutch.volumes import Contents, TreeChange, TreeEntry, VolumeName, Volumes
from hutch_mcp_tools.agents_own import is_agents_own
from hutch_mcp_tools.volume_records import DiffRequest, VolumeChange, VolumeDiff

_PATCH_BYTES = 1 << 20  # of patches in one answer
_PATH_BYTES = 4 << 20  # of paths in one answer: a single one may be as long as a tree is deep
_HELD_BACK = 10_000  # changes, with no more of their paths; of more, the rest comes where it stands
_LOOKED_AT = (20, 2000)  # snapshots, for the one before the last run


async def compare(volumes: Volumes, name: VolumeName, request: DiffRequest) -> VolumeDiff:
    """Return a page of what differs. Raises what `Volumes.diff` and `Volumes.diff_working` raise."""
    return await _page(await _chosen(volumes, name, request), request)


async def _page(comparison: "Comparison", request: DiffRequest) -> VolumeDiff:
    page: list[VolumeChange] = []
    patches, paths, number = _PATCH_BYTES, _PATH_BYTES, 0
    async with aclosing(_agents_own_last(comparison.changes)) as changes:
        async for change in changes:
            if number >= request.offset:
                if len(page) == request.limit or min(patches, paths) <= 0:
                    return comparison.diff(page, number)
                page.append(await comparison.told(change, with_patch=request.patch))
                patches -= len(page[-1].patch or "")
                paths -= len(change.path)
            number += 1
    return comparison.diff(page, None)


async def compare_volumes(volumes: Volumes, a: VolumeName, b: VolumeName, request: DiffRequest) -> VolumeDiff:
    """Return a page of what turns the newest snapshot of one volume into that of another."""
    older, newer, changes = await volumes.compare_volumes(a, b, prefix=request.path)
    return await _page(Comparison(volumes, b, older, newer, changes), request)


async def changed_files(
    volumes: Volumes, name: VolumeName, since: str | None, *, lines_of: int, most: int
) -> tuple[list[VolumeChange], int]:
    """Return the files that differ since a snapshot, the first with the number of their lines, and how many.

    What agents keep for themselves does not count, and where paths are very long fewer are returned. None of
    `since`: since before the last run.
    """
    comparison = await _chosen(volumes, name, DiffRequest(volume=str(name), a=since))
    found: list[VolumeChange] = []
    count, paths = 0, _PATH_BYTES
    async with aclosing(comparison.changes) as changes:
        async for change in changes:
            entry = change.after or change.before
            if entry is None or entry.kind == "folder" or is_agents_own(change.path):
                continue
            count += 1
            if len(found) < lines_of and paths > 0:
                paths -= len(change.path)
                found.append(await comparison.told(change, with_patch=True))
            if count == most:
                break
    return found, count


async def _agents_own_last(changes: AsyncGenerator[TreeChange]) -> AsyncGenerator[TreeChange]:
    """The same changes, always in the same order: pages of them are counted."""
    held: list[TreeChange] = []
    paths = _PATH_BYTES
    async with aclosing(changes):
        async for change in changes:
            if is_agents_own(change.path) and len(held) < _HELD_BACK and paths > 0:
                held.append(change)
                paths -= len(change.path)
            else:
                yield change
    for change in held:
        yield change


async def _chosen(volumes: Volumes, name: VolumeName, request: DiffRequest) -> "Comparison":
    """Turn what the snapshots are called into numbers, so that every page compares the same two."""
    if request.working:
        base, changes = await volumes.compare_working(name, prefix=request.path)
        return Comparison(volumes, name, base, None, changes)
    newer = await volumes.contents(name, request.b)
    a = await _before_last_run(volumes, name, newer.snapshot) if request.a is None else request.a
    older = await volumes.contents(name, a)
    changes = volumes.diff(name, older.snapshot, newer.snapshot, prefix=request.path)
    return Comparison(volumes, name, older, newer, changes)


async def _before_last_run(volumes: Volumes, name: VolumeName, number: int) -> int:
    """The snapshot that the run which made this one began with; 0: it began with nothing."""
    for looked_at in _LOOKED_AT:
        found = await volumes.log(name, looked_at)
        older = [each for each in found if each.number <= number]
        before = [each.number for each in older if each.run_id != older[0].run_id]
        if before or len(found) < looked_at:
            return before[0] if before else 0
    return 0


class Comparison:
    """From one snapshot to another; None: to the working folder of this host."""

    def __init__(
        self,
        volumes: Volumes,
        name: VolumeName,
        older: Contents,
        newer: Contents | None,
        changes: AsyncGenerator[TreeChange],
    ) -> None:
        self.changes = changes
        self._volumes = volumes
        self._name = name
        self._older = older
        self._newer = newer

    def diff(self, page: list[VolumeChange], more: int | None) -> VolumeDiff:
        b = self._newer.snapshot if self._newer else None
        return VolumeDiff(volume=str(self._name), a=self._older.snapshot, b=b, changes=page, next=more)

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
        before = await self._content(change.before, self._older)
        after = await self._content(change.after, self._newer)
        return await to_thread.run_sync(patch_text, change.path, before, after)

    async def _content(self, entry: TreeEntry | None, contents: Contents | None) -> bytes | None:
        """What stands there, a link's target too, as git has it."""
        if entry is None or entry.kind == "folder":
            return None
        if entry.kind == "link":
            return (entry.target or "").encode()
        if contents is None:
            return await self._volumes.read_working(self._name, entry.raw, TEXT_BYTES)
        return await contents.read(entry.raw, TEXT_BYTES)
