"""A bound on what a volume's history takes in the store, judged before a commit puts anything.

A run that writes one file again and again leaves a snapshot each time, and each may be relied on. So beyond
the bound what a running run has left behind itself is let go first, however young, and collected at once;
if that is not enough, nothing more is taken.
"""

import logging
from dataclasses import dataclass

from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import HistoryFullError, StoreError
from hutch.volumes.log.state import State, packs_in_use
from hutch.volumes.past.collecting import GRACE_S, Collector
from hutch.volumes.past.measuring import stored
from hutch.volumes.past.retention import RetentionRules
from hutch.volumes.past.thinning import Thinner

_log = logging.getLogger(__name__)
_ENTRY_BYTES = 128 << 10  # of a commit beside its packs, as far as it is not measured
_TIMES = 16  # that one measurement serves: attempts that failed may have left packs that no state tells
_STREAMED = RetentionRules(keep_all_s=0, keep_last=1 << 40, hourly=0, daily=0, weekly=0, monthly=0)


@dataclass(slots=True)
class _Measured:
    """A volume's history when it was measured, and how often that was used since."""

    id: str
    history_bytes: int
    next_pack: int
    times: int = 0

    def at_most(self, state: State) -> int:
        """What it may be by now."""
        since = sum(pack.size for number, pack in state.packs.items() if number >= self.next_pack)
        return self.history_bytes + since + self.times * _ENTRY_BYTES


class HistoryBound:
    """Keeps the histories of one store's volumes within their quotas. The caller holds the lease."""

    def __init__(self, engine: Engine, thinner: Thinner, collector: Collector) -> None:
        self._store = engine.store
        self._quotas = engine.quotas
        self._thinner = thinner
        self._collector = collector
        self._measured: dict[str, _Measured] = {}  # by the volume's name

    async def admit(self, state: State) -> None:
        """See that one more commit may follow `state`. Raises HistoryFullError: nothing was put."""
        limit = self._quotas.of(state.name).max_history_bytes
        if not limit:
            return
        known = self._measured.get(str(state.name))
        if known and known.id == state.id and known.times < _TIMES and known.at_most(state) < limit:
            known.times += 1
            return
        if await self._measure(state) < limit:
            return
        await self._let_go(state)
        if (history_bytes := await self._measure(state)) >= limit:
            raise HistoryFullError(state.name, history_bytes, limit)

    async def _measure(self, state: State) -> int:
        _, history_bytes = await stored(self._store, state, await to_thread.run_sync(packs_in_use, state))
        self._measured[str(state.name)] = _Measured(state.id, history_bytes, state.next_pack)
        return history_bytes

    async def _let_go(self, state: State) -> None:
        """Of each run keep the newest snapshot that it made while it worked, unless it has ended since."""
        try:
            dropped = (await self._thinner.thin(state.name, _STREAMED, dry_run=False)).dropped
            freed = (await self._collector.collect(state.name, grace_s=GRACE_S, dry_run=False)).bytes
        except StoreError:
            raise
        except HutchError as error:  # damage elsewhere in the history: nothing goes
            _log.warning("volume %s: its history stays as it is: %s", state.name, error.message)
            return
        _log.info(
            "volume %s: history was full: %d snapshots let go, %d bytes", state.name, len(dropped), freed
        )
