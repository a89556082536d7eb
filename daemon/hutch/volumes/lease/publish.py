"""Puts entries under a lease: commits, and the fence after a take-over."""

import secrets
from dataclasses import replace

from hutch.volumes.clock import Clock
from hutch.volumes.failures import DamagedError, LeaseLostError, StoreError
from hutch.volumes.lease.leases import Lease, Leases
from hutch.volumes.log.appending import Appender, EntryTakenError
from hutch.volumes.log.history import History
from hutch.volumes.log.quotas import Quotas
from hutch.volumes.log.state import Commit, Patch, State
from hutch.volumes.records import Snapshot
from hutch.volumes.tree.nodes import Folder

_LONGEST_COMMIT_S = 43_200.0  # from its first pack to its entry: half of what a pack is left alone


class OwnEntryError(Exception):
    """An entry of ours that had seemed to fail stands there after all: read it and try again."""


class Publisher:
    """The one way in which an entry comes into a log."""

    def __init__(
        self, history: History, appender: Appender, leases: Leases, clock: Clock, quotas: Quotas
    ) -> None:
        self._history = history
        self._appender = appender
        self._leases = leases
        self._clock = clock
        self._quotas = quotas

    def commit_of(self, lease: Lease, run_id: str, tree: Folder, *, began_s: float) -> Commit:
        """A commit that is yet without content. `began_s`: monotonic time, before its first pack was put."""
        now = self._clock.now()
        return Commit(lease.token, secrets.token_hex(16), run_id, now, began_s, tree)

    async def put(self, lease: Lease, state: State, commit: Commit, made: Patch) -> tuple[State, Snapshot]:
        """Put the entry after `state`.

        Raises:
            LeaseLostError: for good.
            QuotaExceededError: nothing was put.
            OwnEntryError: nothing was put.
            StoreError: the entry may yet arrive, so the lease will not be given back.
        """
        self._quotas.check(state, made)
        await self._leases.assure(lease)
        if self._clock.monotonic() - commit.began_s > _LONGEST_COMMIT_S:
            # Garbage collection may take its packs for left over (invariant 10).
            raise StoreError(f"the commit to volume '{lease.name}' took too long: it must be made anew")
        lease.in_doubt = True
        try:
            after, snapshot = await self._appender.append(state, commit, made)
        except EntryTakenError as error:
            lease.in_doubt = False
            if error.token == lease.token:
                raise OwnEntryError from None
            if error.token < lease.token:  # our fence, or our first entry, stands before it
                where = f"entry {state.number + 1} of volume '{lease.name}'"
                raise DamagedError(where, "its token is lower than that of the entry before it") from None
            lease.lost.set()
            raise LeaseLostError(lease.name) from None
        lease.in_doubt = False
        lease.note(after)
        return after, snapshot

    async def fence(self, lease: Lease, state: State) -> State:
        """Occupy the next entry before the tree is relied on (invariant 4); returns the state then."""
        while True:
            state = await self._history.newest(state, lease.record.hints)
            commit = replace(
                self.commit_of(lease, lease.holder, state.tree, began_s=self._clock.monotonic()), kind="fence"
            )
            nothing = Patch(state.tree, state.tree, state.files, state.bytes, 0, ())
            try:
                after, _ = await self._appender.append(state, commit, nothing)
            except EntryTakenError as error:
                if error.token > lease.token:
                    lease.lost.set()
                    raise LeaseLostError(lease.name) from None
                continue  # the sleeper was quicker: its commit counts
            except StoreError:
                lease.in_doubt = True
                raise
            lease.note(after)
            return after
