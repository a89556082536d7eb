"""Makes what a fork holds the newest snapshot of the volume that it began at: one entry, or nothing."""

from collections.abc import Mapping
from dataclasses import replace

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.lease.leases import Lease
from hutch.volumes.lease.publish import OwnEntryError
from hutch.volumes.log.codec import INLINE_AT
from hutch.volumes.log.history import entry_key
from hutch.volumes.log.quotas import Bound
from hutch.volumes.log.state import State, packs_in_use, patch
from hutch.volumes.reading import Reader
from hutch.volumes.records import Snapshot
from hutch.volumes.tree.blocks import Ref, Span, fetched, spans, unpacked
from hutch.volumes.tree.nodes import File, Folder, refiled, refs_of, runs_of, walk
from hutch.volumes.tree.packs import Pack, Packed, PackWriter
from hutch.volumes.tree.patches import differs

_LOOKED_AT = 200  # snapshots since the fork began, for one that an earlier call has made
Places = Mapping[Ref, Ref]  # where a block lies -> where it shall lie


class Adopting:
    """Brings forks back to where they began."""

    def __init__(self, engine: Engine, reader: Reader, bound: Bound) -> None:
        self._store = engine.store
        self._publisher = engine.publisher
        self._clock = engine.clock
        self._reader = reader
        self._bound = bound

    async def adopt(self, lease: Lease, fork: Lease, run_id: str) -> Snapshot | None:
        """Make the tree of `fork`, which nobody writes meanwhile, the newest; None: it is.

        Nothing is shared with the fork afterwards: it can be removed. What was made as of this `run_id`
        already is not made again.

        Raises:
            HutchError: `fork_unrelated`; `volume_moved_on`: the volume was written since the fork began.
        """
        base = await self._base(lease, fork)
        while True:
            head = await self._reader.state(lease.name)
            if await to_thread.run_sync(differs, base.tree, head.tree):
                return await self._adopted(base, head, fork, run_id)
            await self._bound.admit(head)
            try:
                return await self._put(lease, head, await self._reader.state(fork.name), run_id)
            except OwnEntryError:
                continue

    async def _base(self, lease: Lease, fork: Lease) -> State:
        """Where the fork began: at a snapshot of the volume, or with it, before it had any."""
        point, volume = fork.record.fork, lease.record.identity(lease.name)
        if point is not None and point.volume == volume:
            return await self._reader.state(lease.name, point.number)
        if point == lease.record.fork:
            return await self._reader.state(lease.name, 0)
        raise HutchError(
            "fork_unrelated",
            f"volume '{fork.name}' is no fork of volume '{lease.name}'",
            f"see: hutch volume stat {fork.name}",
        )

    async def _adopted(self, base: State, head: State, fork: Lease, run_id: str) -> Snapshot:
        """The snapshot of an earlier call that was cut off before it could tell."""
        since = await self._reader.log(base.name, min(head.number - base.number, _LOOKED_AT))
        for snapshot in since:
            if snapshot.run_id == run_id and snapshot.number > base.number:
                return snapshot
        raise HutchError(
            "volume_moved_on",
            f"volume '{base.name}' was written since snapshot {base.number}, where '{fork.name}' began: "
            f"snapshot {since[0].number} is of {since[0].run_id}",
            f"what was written: hutch volume diff {base.name} {base.number}",
        )

    async def _put(self, lease: Lease, head: State, work: State, run_id: str) -> Snapshot | None:
        began_s, writer = self._clock.monotonic(), PackWriter(head.next_pack)
        places, packs = await self._copied(head, work, writer)
        inline = writer.seal_inline(entry_key(head.number + 1), INLINE_AT)
        if inline is None and not writer.is_empty:
            packs.append(await self._sealed(head, writer))
        tree = await to_thread.run_sync(moved, work.tree, places)
        made = await to_thread.run_sync(patch, head, tree)
        if made.is_empty:
            return None
        commit = replace(
            self._publisher.commit_of(lease, run_id, tree, began_s=began_s),
            packs=(*packs, *([inline[0]] if inline else [])),
            inline=inline[1] if inline else b"",
            next_inode=max(head.next_inode, work.next_inode),
        )
        return (await self._publisher.put(lease, head, commit, made))[1]

    async def _copied(
        self, head: State, work: State, writer: PackWriter
    ) -> tuple[dict[Ref, Ref], list[Pack]]:
        """Put what lies in packs of the fork's own into packs of the volume (invariants 1, 8 and 9)."""
        places: dict[Ref, Ref] = {}
        packs: list[Pack] = []
        for span in spans(work, await to_thread.run_sync(_foreign, head, work)):
            data = await fetched(self._store, span)
            for ref, packed in await to_thread.run_sync(_repacked, span, data):
                places[ref] = writer.add(packed)
            if writer.is_full:
                packs.append(await self._sealed(head, writer))
        return places, packs

    async def _sealed(self, head: State, writer: PackWriter) -> Pack:
        pack, data = writer.seal()
        await self._store.put(head.identity.key(pack.key), data)
        return pack


def moved(tree: Folder, places: Places) -> Folder:
    """The same tree whose content lies elsewhere."""

    def refile(file: File) -> File:
        at = (*places.get(file.at[:2], file.at[:2]), file.at[2]) if file.at else None
        return file._replace(at=at, blocks=runs_of([places.get(ref, ref) for ref in refs_of(file.blocks)]))

    return refiled(tree, refile) if places else tree


def told_apart(old: State, new: State) -> State:
    """`new`, in which the number of a pack means what it means in `old`, or nothing there."""
    shared = _shared(old, new, old.packs)
    start = max(old.next_pack, new.next_pack)
    numbers = {number: number if number in shared else start + number for number in new.packs}
    packs = {numbers[number]: pack for number, pack in new.packs.items()}

    def refile(file: File) -> File:
        at = (numbers[file.at[0]], *file.at[1:]) if file.at else None
        return file._replace(
            at=at, blocks=tuple((numbers[pack], first, count) for pack, first, count in file.blocks)
        )

    return replace(new, tree=refiled(new.tree, refile), packs=packs)


def _shared(old: State, new: State, known: Mapping[int, Pack]) -> frozenset[int]:
    """The numbers by which both mean one object, of those in `known`."""
    return frozenset(
        number
        for number, pack in known.items()
        if number in new.packs and _key(old, pack) == _key(new, new.packs[number])
    )


def _key(state: State, pack: Pack) -> str:
    return (pack.volume or state.identity).key(pack.key)


def _foreign(head: State, work: State) -> set[Ref]:
    """The blocks of a fork's tree that the volume's own newest tree does not stand on."""
    shared = _shared(head, work, packs_in_use(head))
    found: set[Ref] = set()
    for _, _, node in walk(work.tree):
        if isinstance(node, File):
            refs = (node.at[:2],) if node.at else refs_of(node.blocks)
            found.update(ref for ref in refs if ref[0] not in shared)
    return found


def _repacked(span: Span, data: bytes) -> list[tuple[Ref, Packed]]:
    """The blocks of a span as they are stored, each proven by its hash. Raises DamagedError."""
    found = []
    for (ref, block), _ in zip(span.blocks, unpacked(span, data), strict=True):
        start = block.offset - span.start
        found.append((ref, Packed(block.hash, block.length, data[start : start + block.stored])))
    return found
