"""Writes one file as one commit, without a working folder."""

from dataclasses import dataclass, replace
from typing import Literal

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.codec import INLINE_AT
from hutch.volumes.log.history import entry_key
from hutch.volumes.log.quotas import Bound
from hutch.volumes.log.state import State, patch
from hutch.volumes.reading import Reader, parse_path
from hutch.volumes.records import Snapshot, quoted
from hutch.volumes.tree.blocks import read_range
from hutch.volumes.tree.nodes import File, Folder, edited, find, path_of, runs_of, walk
from hutch.volumes.tree.packs import CHUNKERS, SMALL_BYTES, Pack, PackWriter, digest, pack_block

_NOTHING = File(0, 0, 0)
WriteMode = Literal["create", "overwrite", "append"]


@dataclass(frozen=True, slots=True)
class FileWrite:
    """What is to be written where."""

    path: bytes
    data: bytes
    mode: WriteMode
    executable: bool


class Writer:
    """Writes files under a lease."""

    def __init__(self, engine: Engine, reader: Reader, bound: Bound) -> None:
        self._store = engine.store
        self._bound = bound
        self._publisher = engine.publisher
        self._clock = engine.clock
        self._reader = reader

    async def write(
        self, lease: Lease, path: str | bytes, data: bytes, *, mode: WriteMode, executable: bool
    ) -> Snapshot:
        """Raises HutchError `path_exists`, `path_invalid`, `not_a_folder`, `not_a_file`."""
        wanted = FileWrite(parse_path(path), data, mode, executable)
        while True:
            state = await self._reader.state(lease.name, None)
            await self._bound.admit(state)
            try:
                return await self._put(lease, state, wanted)
            except OwnEntryError:
                continue

    async def _put(self, lease: Lease, state: State, wanted: FileWrite) -> Snapshot:
        old = _place_for(state, wanted)
        now_ns = int(self._clock.now().timestamp() * 1_000_000) * 1000
        packs = PackWriter(state.next_pack)
        sealed: list[tuple[Pack, bytes]] = []
        start, data = await self._start(state, old, wanted)
        node = await to_thread.run_sync(_appended, start, data, packs, sealed)
        bits = 0o111 if wanted.executable else 0
        node = node._replace(mode=(old.mode if old else 0o644) | bits, mtime=now_ns, stat=None)
        if old:
            node = node._replace(inode=old.inode, xattrs=old.xattrs)
        tree = _with_file(state.tree, wanted.path, node, now_ns)
        inline = packs.seal_inline(entry_key(state.number + 1), INLINE_AT)
        if inline is None and not packs.is_empty:
            sealed.append(packs.seal())
        began_s = self._clock.monotonic()
        for pack, packed in sealed:
            await self._store.put(state.identity.key(pack.key), packed)  # invariants 1 and 9
        commit = replace(
            self._publisher.commit_of(lease, lease.holder, tree, began_s=began_s),
            packs=tuple(pack for pack, _ in sealed) + ((inline[0],) if inline else ()),
            inline=inline[1] if inline else b"",
        )
        made = await to_thread.run_sync(patch, state, tree)
        return (await self._publisher.put(lease, state, commit, made))[1]

    async def _start(self, state: State, old: File | None, wanted: FileWrite) -> tuple[File, bytes]:
        """What to append to, and what to append."""
        if old is None or wanted.mode != "append":
            return _NOTHING, wanted.data
        if old.chunker is not None:
            return old, wanted.data
        return _NOTHING, await read_range(self._store, state, old, 0, old.size) + wanted.data


def _place_for(state: State, wanted: FileWrite) -> File | None:
    """The file that stands there, if it may be written."""
    parent = wanted.path
    while b"/" in parent:
        parent = parent.rpartition(b"/")[0]
        above = find(state.tree, parent)
        if above is not None and not isinstance(above, Folder):
            raise HutchError("not_a_folder", f"{quoted(parent)} is no folder", "links are not followed")
    old = find(state.tree, wanted.path)
    if old is not None and not isinstance(old, File):
        kind = "a folder" if isinstance(old, Folder) else "a link"
        raise HutchError("not_a_file", f"{quoted(wanted.path)} is {kind}", "give the path of a file")
    if old is not None and wanted.mode == "create":
        raise HutchError(
            "path_exists", f"{quoted(wanted.path)} exists", "put it to another path, or without --create"
        )
    return old


def _appended(old: File, data: bytes, packs: PackWriter, sealed: list[tuple[Pack, bytes]]) -> File:
    """`old`, which is large or nothing, with more at its end. What is no content is left out."""
    if old.chunker is None and len(data) <= SMALL_BYTES:
        return File(0, 0, len(data), digest(data), (*packs.add(pack_block(data)), 0)) if data else _NOTHING
    chunker = old.chunker if old.chunker in CHUNKERS else "fixed-256k"
    step = CHUNKERS[chunker]
    refs: list[tuple[int, int]] = []
    start, until = 0, step - old.size % step
    while start < len(data):
        refs.append(packs.add(pack_block(data[start:until])))
        start, until = until, until + step
        if packs.is_full:
            sealed.append(packs.seal())
    blocks = (*old.blocks, *runs_of(refs))
    extents = None if old.data is None or not data else (*old.data, (old.size, len(data)))
    return File(0, 0, old.size + len(data), blocks=blocks, chunker=chunker, data=extents or old.data)


def _with_file(tree: Folder, path: bytes, node: File, now_ns: int) -> Folder:
    """The tree with the file, its folders, and every other name of it."""
    names = path.split(b"/")
    for depth in range(1, len(names)):
        folder = b"/".join(names[:depth])
        if find(tree, folder) is None:
            tree = edited(tree, folder, lambda _: Folder(0o755, now_ns, (), {}))
    if node.inode:
        for other in [
            path_of(trail)
            for _, trail, each in walk(tree)
            if isinstance(each, File) and each.inode == node.inode
        ]:
            tree = edited(tree, other, lambda _: node)
    return edited(tree, path, lambda _: node)
