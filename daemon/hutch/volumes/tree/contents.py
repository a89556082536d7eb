"""The files of one snapshot, read one after another: neighbours lie in one block, which is fetched once."""

from collections import OrderedDict

from anyio import to_thread

from hutch.volumes.log.state import State
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.tree.blocks import Ref, fetched, read_range, spans, unpacked
from hutch.volumes.tree.nodes import File, find

_BLOCKS = 8  # kept, of at most a MiB each


class Contents:
    """Reads without asking whether the snapshot is still there: use it for one answer and let it go."""

    def __init__(self, store: ObjectStore, state: State) -> None:
        self._store = store
        self._state = state
        self._blocks: OrderedDict[Ref, bytes] = OrderedDict()

    @property
    def snapshot(self) -> int:
        return self._state.number

    async def read(self, path: bytes, limit: int) -> bytes | None:
        """The beginning of a file; None: there is none. Raises DamagedError, StoreError."""
        node = find(self._state.tree, path.removeprefix(b"/"))
        if not isinstance(node, File):
            return None
        if node.at is None:
            return await read_range(self._store, self._state, node, 0, limit)
        content, start = await self._block(node.at[:2]), node.at[2]
        return content[start : start + min(node.size, limit)]

    async def _block(self, ref: Ref) -> bytes:
        if ref not in self._blocks:
            (span,) = spans(self._state, [ref])
            data = await fetched(self._store, span)
            self._blocks |= await to_thread.run_sync(lambda: dict(unpacked(span, data)))
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(ref)
        return self._blocks[ref]
