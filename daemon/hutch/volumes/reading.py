"""Reads snapshots straight from the store: no working folder, no path of the host, no link followed."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

import anyio
import anyio.lowlevel

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import DamagedError, NotFoundError
from hutch.volumes.lease.record import LeaseRecord
from hutch.volumes.log.headers import snapshot_of
from hutch.volumes.log.recent import Recent
from hutch.volumes.log.state import State
from hutch.volumes.names import VolumeName
from hutch.volumes.records import (
    At,
    FileRead,
    FolderList,
    LinkTarget,
    Snapshot,
    TreeEntry,
    VolumeInfo,
    quoted,
    shown,
)
from hutch.volumes.tree.blocks import read_range
from hutch.volumes.tree.nodes import Folder, Link, Node, find, path_of, walk

_AT_ONCE = 1000  # nodes told before others have their turn
Noted = Callable[[VolumeName, int | None], Awaitable[Sequence[State]]]
_ESCAPE = re.compile(rb"%([89A-F][0-9A-F])")


def parse_path(path: str | bytes) -> bytes:
    """A path within a volume: `/a/b`, `a/b`, or `/` for its root.

    Raises:
        HutchError: `path_invalid`: `..`, `.`, an empty part, NUL, or a part that no file system takes.
    """
    try:
        raw = path if isinstance(path, bytes) else path.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raw = b"\0"
    inner = raw.removeprefix(b"/").removesuffix(b"/")
    parts = inner.split(b"/") if inner else []
    if raw == b"//" or any(part in (b"", b".", b"..") or b"\0" in part or len(part) > 255 for part in parts):
        raise HutchError(
            "path_invalid",
            f"not a path in a volume: {shown(raw)[:80]!r}",
            "give it as /folder/file, without '..'",
        )
    return inner


class Reader:
    """Answers about volumes and their snapshots."""

    def __init__(self, engine: Engine) -> None:
        self._store = engine.store
        self._history = engine.history
        self._leases = engine.leases
        self._selector = engine.selector
        self._tags = engine.tags
        self._states: Recent[tuple[VolumeName, int]] = Recent()

    async def list(self, *, removed: bool = False) -> "tuple[VolumeInfo, ...]":
        """Those that were removed and can be brought back, or those that are there."""
        found = []
        async for entry in self._store.list("leases/"):
            try:
                name = VolumeName.parse(entry.key.removeprefix("leases/"))
            except HutchError:  # not ours
                continue
            record, _ = await self._leases.read_any(name)
            if (record.removed_at is not None) == removed and not record.is_purged:
                found.append(await self._info(name, record))
        return tuple(found)

    async def info(self, name: VolumeName) -> VolumeInfo:
        record, _ = await self._leases.read(name)
        return await self._info(name, record)

    async def _info(self, name: VolumeName, record: LeaseRecord) -> VolumeInfo:
        header = await self._history.newest_header(record.identity(name), record.hints)
        own = header["number"] if header else 0
        if header is None and record.fork:
            header = await self._history.header(record.fork.volume, record.fork.number)
        newest = snapshot_of(header) if header else None
        return VolumeInfo(
            name=str(name),
            snapshot=own,
            files=newest.files if newest else 0,
            bytes=newest.bytes if newest else 0,
            updated_at=newest.created_at if newest else None,
            held_by=record.holder,
            held_until=record.expires_at if record.holder is not None else None,
            removed_at=record.removed_at,
        )

    async def log(self, name: VolumeName, limit: int) -> "tuple[Snapshot, ...]":
        """Newest first, as far as history was kept."""
        record, _ = await self._leases.read(name)
        volume = record.identity(name)
        tags = await self._tags.by_number(volume)
        found: list[Snapshot] = []
        async with aclosing(self._selector.headers(volume, record.hints)) as headers:
            async for header in headers:
                if header["kind"] == "commit":
                    found.append(replace(snapshot_of(header), tags=tags.get(header["number"], ())))
                if len(found) >= limit:
                    break
        return tuple(found)

    async def state(self, name: VolumeName, at: At = None, noted: Noted | None = None) -> State:
        """The tree and packs of a snapshot. `noted` is asked for what this host has of it.

        Raises:
            HutchError: `volume_unknown`, `at_invalid`, `tag_unknown`, `snapshot_unknown`, `volume_damaged`.
        """
        record, _ = await self._leases.read(name)
        number = await self._selector.resolve(record.identity(name), record.hints, at)
        states = await noted(name, number) if noted else ()
        known = [state for state in states if state.id == record.volume]
        if number is None:
            state = await self._newest(name, record, known)
        else:
            state = await self._at(name, record, number, known)
        if not known:  # else its stats are a folder's, and for those who restore that alone
            self._states.keep((name, state.number), state)
        return state

    async def _newest(self, name: VolumeName, record: LeaseRecord, known: Sequence[State]) -> State:
        nearest = max([self._nearest(name, record), *known], key=lambda state: state.number)
        try:
            return await self._history.newest(replace(nearest, fork=record.fork), record.hints)
        except DamagedError:
            # What a lease of a while ago names may have been collected as garbage since it was read.
            again, _ = await self._leases.read(name)
            if again.hints == record.hints:
                raise
            return await self._history.newest(again.beginning(name), again.hints)

    async def _at(self, name: VolumeName, record: LeaseRecord, number: int, noted: Sequence[State]) -> State:
        volume = record.identity(name)
        if number:
            await self._selector.assert_kept(volume, number)  # what was thinned out is no damage
        known = self._states.get((name, number))
        if known and known.id == record.volume:
            return known
        if number == 0:
            return await self._history.begun(record.beginning(name))
        for state in [state for state in noted if state.number == number]:
            with suppress(NotFoundError):
                if await self._history.reference(volume, number) == state.reference:
                    return state
        try:
            return await self._history.at(volume, number)
        except HutchError as error:
            if error.code == "snapshot_unknown":
                raise await self._selector.unknown(volume, record.hints, number) from None
            raise

    async def read(
        self, name: VolumeName, path: str | bytes, at: At, offset: int, limit: int
    ) -> FileRead | FolderList | LinkTarget:
        parsed = parse_path(path)
        state = await self.state(name, at)
        parsed, node = found(state, parsed)
        entry = entry_of(parsed, node)
        if isinstance(node, Link):
            return LinkTarget(entry, state.number, shown(node.target))
        if isinstance(node, Folder):
            return _listed(state, parsed, node, offset, limit)
        data = await read_range(self._store, state, node, offset, limit)
        following = offset + len(data)
        return FileRead(entry, state.number, data, offset, following if following < node.size else None)

    async def tree(self, name: VolumeName, at: At, prefix: str | bytes) -> AsyncGenerator[TreeEntry]:
        parsed = parse_path(prefix)
        state = await self.state(name, at)
        parsed, top = found(state, parsed)
        if not isinstance(top, Folder):
            yield entry_of(parsed, top)
            return
        for number, (_, trail, node) in enumerate(walk(top)):
            if number % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            if trail is not None:
                inner = path_of(trail)
                yield entry_of(parsed + b"/" + inner if parsed else inner, node)

    def _nearest(self, name: VolumeName, record: LeaseRecord) -> State:
        known = [state for (of, _), state in self._states.items() if of == name and state.id == record.volume]
        return max(known, key=lambda state: state.number, default=record.beginning(name))


def found(state: State, path: bytes) -> tuple[bytes, Node]:
    """The node at a path, which may be given as it was shown: with %NN for bytes that are not UTF-8."""
    for candidate in (path, _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), path)):
        node = find(state.tree, candidate)
        if node is not None:
            return candidate, node
    where = f"volume '{state.name}' at snapshot {state.number}"
    parent = path
    while b"/" in parent:
        parent = parent.rpartition(b"/")[0]
        node = find(state.tree, parent)
        if node is not None and not isinstance(node, Folder):
            raise HutchError(
                "not_a_folder", f"{quoted(parent)} is no folder in {where}", "links are not followed"
            )
    hint = f"see: hutch volume ls {state.name} --at {state.number}"
    raise HutchError("path_unknown", f"there is no {quoted(path)} in {where}", hint)


def _listed(state: State, path: bytes, folder: Folder, offset: int, limit: int) -> FolderList:
    names = list(folder.children)[offset : offset + limit]
    entries = tuple(entry_of(path + b"/" + name if path else name, folder.children[name]) for name in names)
    total = len(folder.children)
    following = offset + len(names)
    after = following if following < total else None
    return FolderList(entry_of(path, folder), state.number, entries, total, offset, after)


def entry_of(path: bytes, node: Node) -> TreeEntry:
    """A node as told to people."""
    raw = b"/" + path
    if isinstance(node, Link):
        return TreeEntry(shown(raw), raw, "link", 0o777, node.mtime, 0, shown(node.target))
    if isinstance(node, Folder):
        return TreeEntry(shown(raw), raw, "folder", node.mode, node.mtime, 0)
    return TreeEntry(shown(raw), raw, "file", node.mode, node.mtime, node.size)
