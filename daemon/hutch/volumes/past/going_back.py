"""Goes back to an earlier snapshot by a new entry whose tree is the old one: nothing is lost or copied."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import StoreError
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.lines import sealed_line
from hutch.volumes.log.state import State, packs_in_use, patch
from hutch.volumes.past.forking import marker_key
from hutch.volumes.reading import Reader, parse_path
from hutch.volumes.records import At, Snapshot, quoted
from hutch.volumes.tree.nodes import File, Folder, Node, edited, find, without


class GoingBack:
    """Makes old trees new again."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._store = engine.store
        self._leases = engine.leases
        self._keeping = engine.keeping
        self._publisher = engine.publisher
        self._clock = engine.clock
        self._reader = reader

    async def go_back(self, lease: Lease, at: At, prefix: str | bytes) -> Snapshot | None:
        """Make the tree below `prefix` what it was; None: it is.

        Raises:
            HutchError: `snapshot_unknown`, `at_invalid`, `tag_unknown`, `path_unknown`, `path_invalid`.
        """
        top = parse_path(prefix)
        old = await self._reader.state(lease.name, at)
        if old.number == 0:  # a fork keeps what it began with, under the lease that we hold
            return await self._commit(lease, old, top)
        # Content of an old tree may be used again only while a marker holds it (invariants 8 and 18).
        key = old.identity.key(marker_key(secrets.token_hex(16)))
        marker = {"volume": old.identity.path, "number": old.number, "token": lease.token}
        await self._store.put(key, sealed_line(marker))
        try:
            await self._keeping.prove(old.identity, old.number)
            snapshot = await self._commit(lease, old, top)
        except StoreError:  # the entry may yet arrive, so the marker stays; garbage collection judges it
            raise
        except BaseException:
            with suppress(StoreError):
                await self._store.delete(key)
            raise
        with suppress(StoreError):
            await self._store.delete(key)
        return snapshot

    async def _commit(self, lease: Lease, old: State, top: bytes) -> Snapshot | None:
        while True:
            head = await self._reader.state(lease.name)
            commit = self._publisher.commit_of(lease, lease.holder, old.tree, began_s=self._clock.monotonic())
            if top:
                tree, next_inode = _grafted(head, old, top)
                commit = replace(commit, tree=tree, next_inode=next_inode)
            made = await to_thread.run_sync(patch, head, commit.tree)
            if made.is_empty:
                return None
            used = await to_thread.run_sync(packs_in_use, replace(old, tree=commit.tree))
            # What an older snapshot used alone is told again: checkpoints and indexes know it no more.
            told = await to_thread.run_sync(packs_in_use, head)
            packs = tuple(pack for number, pack in used.items() if number not in told)
            try:
                return (await self._publisher.put(lease, head, replace(commit, packs=packs), made))[1]
            except OwnEntryError:
                continue


def _grafted(head: State, old: State, top: bytes) -> tuple[Folder, int]:
    """The newest tree with the old node at `top`, and the next inode's number."""
    node = find(old.tree, top)
    if node is None:
        if find(head.tree, top) is None:
            raise HutchError(
                "path_unknown",
                f"there is no {quoted(top)} in snapshot {old.number} of volume '{old.name}', nor now",
                f"see: hutch volume ls {old.name} --at {old.number}",
            )
        return without(head.tree, top), head.next_inode
    tree = head.tree
    names = top.split(b"/")
    for depth in range(1, len(names)):
        above = b"/".join(names[:depth])
        if not isinstance(find(tree, above), Folder):
            folder = find(old.tree, above)
            assert isinstance(folder, Folder)
            tree = edited(tree, above, _emptied(folder))
    # A number of hard links may mean other content by now, so that the old ones get new numbers.
    numbers: dict[int, int] = {}
    renumbered = _renumbered(node, numbers, head.next_inode)
    return edited(tree, top, lambda _: renumbered), head.next_inode + len(numbers)


def _emptied(folder: Folder) -> Callable[[Node | None], Node]:
    return lambda _: folder._replace(children={})


def _renumbered(top: Node, numbers: dict[int, int], start: int) -> Node:
    """The same node with inodes from `start` on; `numbers` tells which became which."""
    if isinstance(top, File):
        return top._replace(inode=numbers.setdefault(top.inode, start + len(numbers))) if top.inode else top
    if not isinstance(top, Folder):
        return top
    copied = top._replace(children=dict(top.children))
    folders = [copied]
    while folders:
        children = folders.pop().children
        for name, node in children.items():
            if isinstance(node, Folder):
                children[name] = copy = node._replace(children=dict(node.children))
                folders.append(copy)
            elif isinstance(node, File) and node.inode:
                children[name] = _renumbered(node, numbers, start)
    return copied
