"""Puts the next entry of a log, and a checkpoint where one is due."""

import logging
from dataclasses import replace

from anyio import to_thread

from hutch.volumes.failures import DamagedError, NotFoundError, StoreError
from hutch.volumes.log.codec import CHECKPOINT, ENTRY, Header, pack_record, sealed
from hutch.volumes.log.headers import checkpoint_header, entry_header, snapshot_of
from hutch.volumes.log.history import History, checkpoint_key, entry_key
from hutch.volumes.log.state import Commit, Patch, Reference, State, packs_needed
from hutch.volumes.records import Snapshot
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.tree.node_lines import node_line
from hutch.volumes.tree.nodes import walk

_log = logging.getLogger(__name__)


class EntryTakenError(Exception):
    """Another entry stands where ours should go. `token` is its own."""

    def __init__(self, token: int) -> None:
        super().__init__(token)
        self.token = token


class Appender:
    """Writes the logs of all volumes of one store. Only a Publisher calls it, under a lease."""

    def __init__(self, store: ObjectStore, history: History) -> None:
        self._store = store
        self._history = history

    async def append(self, state: State, commit: Commit, made: Patch) -> tuple[State, Snapshot]:
        """Put the next entry.

        Raises:
            EntryTakenError: another one stands there.
            StoreError: it may or may not stand there, or may yet arrive.
        """
        header = entry_header(state, commit, made, [pack_record(pack) for pack in commit.packs])
        data, name = await to_thread.run_sync(sealed, ENTRY, header, made.lines(), commit.inline)
        key = state.identity.key(entry_key(state.number + 1))
        try:
            await self._store.put(key, data, if_match="absent")  # invariant 2
        except StoreError as error:
            await self._look_again(state, commit, error)
        packs = state.packs | {pack.number: pack for pack in commit.packs}
        after = replace(
            state,
            number=state.number + 1,
            hash=name,
            token=commit.token,
            tree=commit.tree,
            packs=packs,
            next_pack=max([state.next_pack, *(pack.number + 1 for pack in commit.packs)]),
            next_inode=max(state.next_inode, commit.next_inode),
            files=made.files,
            bytes=made.size,
            checkpoint_bytes=state.checkpoint_bytes or len(data),
            bytes_since=state.bytes_since + (len(data) if state.number else 0),
        )
        if after.wants_checkpoint:
            after = await self._checkpointed(after, header)
        return after, snapshot_of(header)

    async def _look_again(self, state: State, commit: Commit, error: StoreError) -> None:
        """After a put that failed: return if it did take effect after all."""
        try:
            standing = await self._history.header(state.identity, state.number + 1)
        except NotFoundError:
            raise error from None
        if standing["nonce"] != commit.nonce:
            raise EntryTakenError(standing["token"]) from error

    async def _checkpointed(self, state: State, header: Header) -> State:
        """Put a checkpoint. A failure costs time later, not data, so it does not undo the commit."""
        try:
            state = replace(state, packs=await to_thread.run_sync(packs_needed, state))
        except DamagedError as error:  # what cannot be read must not look whole
            _log.error("volume %s: no checkpoint %d: %s", state.name, state.number, error.message)
            return state
        data, name = await to_thread.run_sync(_encoded_checkpoint, state, header)
        key = state.identity.key(checkpoint_key(state.number))
        try:
            await self._store.put(key, data, if_match="absent")
        except StoreError as error:
            _log.warning("volume %s: no checkpoint %d: %s", state.name, state.number, error.message)
            return state
        reference = Reference(state.number, name)
        return replace(state, checkpoint=reference, checkpoint_bytes=len(data), bytes_since=0)


def _encoded_checkpoint(state: State, header: Header) -> tuple[bytes, str]:
    lines = (node_line(depth, trail.name if trail else b"", node) for depth, trail, node in walk(state.tree))
    packs = [pack_record(pack) for pack in state.packs.values()]
    return sealed(CHECKPOINT, checkpoint_header(state, header, packs), lines)
