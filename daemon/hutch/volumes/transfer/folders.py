"""Whole folders into and out of a volume: no working folder is needed, and none is touched."""

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import FolderBusyError
from hutch.volumes.folder.beneath import FOLDER_FLAGS
from hutch.volumes.folder.cache import Cache, room_for
from hutch.volumes.folder.ingest import ingest
from hutch.volumes.folder.restore import restore
from hutch.volumes.folder.scan import put_back_modes, scan
from hutch.volumes.folder.working import Place
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.quotas import Bound
from hutch.volumes.log.state import State, patch
from hutch.volumes.names import VolumeName
from hutch.volumes.reading import Reader, found, parse_path
from hutch.volumes.records import At, Snapshot, quoted, shown
from hutch.volumes.tree.nodes import EMPTY, Folder, Node, count, edited, find, path_of, walk

_REMOVE_S = 30.0  # to remove a folder that is not needed; what stays is removed at the next start
_SCRATCH = ".scratch"  # in the cache; no workspace can have this name


class Transfer:
    """Moves folders between volumes and folders of this host that are thrown away afterwards."""

    def __init__(self, engine: Engine, reader: Reader, cache: Cache, bound: Bound) -> None:
        self._bound = bound
        self._store = engine.store
        self._publisher = engine.publisher
        self._clock = engine.clock
        self._reader = reader
        self._cache = cache
        self._scratch = cache.folder / _SCRATCH

    @asynccontextmanager
    async def scratch(self) -> AsyncGenerator[Path]:
        """An empty folder, on the disk of the cache, that is gone after the block."""
        place = Place(self._scratch / secrets.token_hex(8))
        async with place.locked():
            try:
                await to_thread.run_sync(place.make_empty_tree)
                empty = place.folder / "new"
                empty.chmod(0o755)  # what a new folder of a volume has; the place itself is private
                yield empty
            finally:
                with anyio.move_on_after(_REMOVE_S, shield=True):
                    await to_thread.run_sync(Place(self._scratch).remove, place.folder.name)

    async def clear_scratch(self) -> None:
        """Remove what dead processes left there."""
        for folder in self._scratch.iterdir() if self._scratch.is_dir() else ():
            with suppress(FolderBusyError):  # its process lives
                async with Place(folder).locked(wait_s=0):
                    await to_thread.run_sync(Place(self._scratch).remove, folder.name)

    @asynccontextmanager
    async def folder(self, name: VolumeName, path: str | bytes, at: At) -> AsyncGenerator[Path]:
        """A copy of a folder of a snapshot, gone after the block. Nothing else of the volume is read."""
        state = await self._reader.state(name, at)
        parsed, node = found(state, parse_path(path))
        if not isinstance(node, Folder):
            raise HutchError("not_a_folder", f"{quoted(parsed)} is no folder", "read it as a file")
        files, size = await to_thread.run_sync(count, node)
        part = replace(state, tree=node, files=files, bytes=size)
        async with self.scratch() as scratch:
            await self._cache.make_room(await room_for(part))
            root = await to_thread.run_sync(os.open, scratch, FOLDER_FLAGS)
            try:
                await restore(self._store, root, None, part)
            finally:
                os.close(root)
            yield scratch

    async def put(
        self, lease: Lease, path: str | bytes, source: Path, *, replaces: bool = True
    ) -> Snapshot | None:
        """Put what is in the folder `source` into the folder `path`, as one commit; None: nothing changed.

        Folders are joined, and what stands there under other names stays. Nobody else may write `source`.

        Raises:
            HutchError: `path_exists` for a file that would be replaced, unless `replaces`, and always for a
                folder that a file would replace; `not_a_folder`, `path_invalid`.
        """
        parsed = parse_path(path)
        while True:
            state = await self._reader.state(lease.name, None)
            await self._bound.admit(state)
            try:
                return await self._put(lease, state, parsed, source, replaces=replaces)
            except OwnEntryError:
                continue

    async def _put(
        self, lease: Lease, state: State, path: bytes, source: Path, *, replaces: bool
    ) -> Snapshot | None:
        above, began_s = _folder_at(state, path), self._clock.monotonic()
        root = await to_thread.run_sync(os.open, source, FOLDER_FLAGS)
        try:
            findings = await to_thread.run_sync(scan, root, above)
            try:
                assert findings.tree is not None
                refuse = partial(_refuse_losses, above, findings.tree, path, replaces=replaces)
                await to_thread.run_sync(refuse)  # a tree may be large
                ingested = await ingest(self._store, root, state, findings)
            finally:
                put_back_modes(root, findings)
        finally:
            os.close(root)
        tree = await to_thread.run_sync(_with_folder, state.tree, path, ingested.tree)
        made = await to_thread.run_sync(patch, state, tree)
        if not made.changes:
            return None
        commit = replace(
            self._publisher.commit_of(lease, lease.holder, tree, began_s=began_s),
            packs=tuple(ingested.packs),
            inline=ingested.inline,
            next_inode=ingested.next_inode,
            left_out=tuple(findings.left_out),
            left_out_count=findings.left_out_count,
        )
        return (await self._publisher.put(lease, state, commit, made))[1]


def _folder_at(state: State, path: bytes) -> Folder:
    """The folder that stands at a path, empty where there is none. Raises HutchError `not_a_folder`."""
    parts = path.split(b"/") if path else []
    for depth in range(1, len(parts) + 1):
        node = find(state.tree, b"/".join(parts[:depth]))
        if node is None:
            return EMPTY
        if not isinstance(node, Folder):
            where = shown(b"/".join(parts[:depth]))
            raise HutchError("not_a_folder", f"'/{where}' is no folder", "links are not followed")
    node = find(state.tree, path)
    assert isinstance(node, Folder)
    return node


def _refuse_losses(old: Folder, new: Folder, path: bytes, *, replaces: bool) -> None:
    for _, trail, node in walk(new):
        inner = path_of(trail)
        there = find(old, inner) if trail else None
        if there is None or (isinstance(there, Folder) and isinstance(node, Folder)):
            continue
        if isinstance(there, Folder) or isinstance(node, Folder) or not replaces:
            where = shown(path + b"/" + inner if path else inner)
            kind = "a folder" if isinstance(there, Folder) else "a file"
            hint = "put it to another path" + (", or without --create" if not replaces else "")
            raise HutchError("path_exists", f"'/{where}' exists, as {kind}", hint)


def _with_folder(tree: Folder, path: bytes, new: Folder) -> Folder:
    """The tree with `new` joined into the folder at `path`, which is made where it is missing."""
    parts = path.split(b"/") if path else []
    for depth in range(1, len(parts)):
        above = b"/".join(parts[:depth])
        if find(tree, above) is None:
            tree = edited(tree, above, lambda _: Folder(0o755, new.mtime, (), {}))
    if not path:
        return _joined(tree, new)
    return edited(tree, path, lambda old: _joined(old, new) if isinstance(old, Folder) else new)


def _joined(old: Folder, new: Folder) -> Folder:
    """Both folders as one; where both have a name, the new one's. Any depth: no call within a call."""
    top = new._replace(mode=old.mode, xattrs=old.xattrs, children=dict(old.children))
    open_folders: list[tuple[dict[bytes, Node], Folder]] = [(top.children, new)]
    while open_folders:
        children, added = open_folders.pop()
        for name, node in added.children.items():
            there = children.get(name)
            if isinstance(there, Folder) and isinstance(node, Folder):
                both = node._replace(children=dict(there.children))
                children[name] = both
                open_folders.append((both.children, node))
            else:
                children[name] = node
        ordered = sorted(children.items())
        children.clear()
        children.update(ordered)
    return top
