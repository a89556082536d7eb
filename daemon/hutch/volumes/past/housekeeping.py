"""Looks after every volume of a workspace, without haste: thins out history and collects garbage."""

import logging
from collections.abc import AsyncGenerator

import anyio

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.names import VolumeName
from hutch.volumes.past.collecting import Collector
from hutch.volumes.past.retention import RetentionRules
from hutch.volumes.past.thinning import Thinner
from hutch.volumes.records import Housekept
from hutch.volumes.stores.protocol import TidyStore

_log = logging.getLogger(__name__)
_VOLUME_S = 600.0  # what is not done by then is done next time
_REST_S = 0.2  # between two volumes: others want the store too


class Housekeeper:
    """Does for all volumes what can be asked for one."""

    def __init__(self, engine: Engine, thinner: Thinner, collector: Collector) -> None:
        self._store = engine.store
        self._leases = engine.leases
        self._thinner = thinner
        self._collector = collector

    async def keep(self, workspace: str, rules: RetentionRules, grace_s: float) -> Housekept:
        """What goes wrong with one volume is logged and keeps none of the others."""
        volumes = dropped = freed = 0
        problems: list[str] = []
        if isinstance(self._store, TidyStore) and (left := await self._store.tidy()):
            _log.info("housekeeping left_by_killed_writes=%d", left)
        async for name in self._names(workspace):
            volumes += 1
            try:
                with anyio.fail_after(_VOLUME_S):
                    record, _ = await self._leases.read_any(name)
                    if record.removed_at is None:
                        dropped += len((await self._thinner.thin(name, rules, dry_run=False)).dropped)
                    done = await self._collector.collect(name, grace_s=grace_s, dry_run=False)
            except (HutchError, TimeoutError) as error:
                problem = error.message if isinstance(error, HutchError) else "it took too long"
                problems.append(f"{name}: {problem}")
                _log.warning("housekeeping volume=%s: %s", name, problem)
                continue
            freed += done.bytes
            if done.bytes or done.problem:
                _log.info("housekeeping volume=%s freed_bytes=%d %s", name, done.bytes, done.problem or "")
            await anyio.sleep(_REST_S)
        return Housekept(volumes, dropped, freed, tuple(problems))

    async def _names(self, workspace: str) -> AsyncGenerator[VolumeName]:
        prefix = f"leases/{workspace}/"
        for key in [info.key async for info in self._store.list(prefix)]:
            try:
                yield VolumeName.parse(key.removeprefix("leases/"))
            except HutchError:  # not ours
                continue
