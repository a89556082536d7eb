"""What a volume costs: in the store, for its history, and in what it shares."""

from collections.abc import Mapping

from anyio import to_thread

from hutch.volumes.engine import Engine
from hutch.volumes.log.history import checkpoint_key, entry_key
from hutch.volumes.log.state import State, packs_in_use
from hutch.volumes.names import VolumeName
from hutch.volumes.reading import Reader
from hutch.volumes.records import VolumeStat
from hutch.volumes.stores.protocol import ObjectStore
from hutch.volumes.tree.packs import Pack


class Measurer:
    """Adds up objects; reads the newest tree and no content."""

    def __init__(self, engine: Engine, reader: Reader) -> None:
        self._store = engine.store
        self._leases = engine.leases
        self._keeping = engine.keeping
        self._markers = engine.markers
        self._tags = engine.tags
        self._quotas = engine.quotas
        self._reader = reader

    async def stat(self, name: VolumeName) -> VolumeStat:
        """Raises HutchError `volume_unknown`, `volume_damaged`."""
        info = await self._reader.info(name)
        state = await self._reader.state(name)
        volume = state.identity
        used = await to_thread.run_sync(packs_in_use, state)
        sizes, history_bytes = await stored(self._store, state, used)
        keep, _ = await self._keeping.read(volume)
        forks = [marker for marker in await self._markers.all(volume) if marker.token is None]
        return VolumeStat(
            info=info,
            snapshots=len(keep.kept) + sum(1 for key in sizes if _entry(key) > keep.until),
            stored_bytes=sum(sizes.values()),
            history_bytes=history_bytes,
            shared_bytes=sum(pack.size for pack in used.values() if pack.volume is not None),
            parent=str(state.fork.volume.name) if state.fork else None,
            tags=await self._tags.all(volume),
            forks=len(forks),
            quota=self._quotas.of(name),
        )


async def stored(store: ObjectStore, state: State, used: Mapping[int, Pack]) -> tuple[Mapping[str, int], int]:
    """The sizes of a volume's objects, and what the newest state, which uses `used`, does not need of it."""
    prefix = state.identity.key("")
    sizes = {each.key.removeprefix(prefix): each.size async for each in store.list(prefix)}
    needed = _way_to(state) | {pack.key for pack in used.values() if pack.volume is None}
    return sizes, sum(size for key, size in sizes.items() if _is_content(key) and key not in needed)


def _way_to(state: State) -> set[str]:
    """The keys that a reader of the newest state goes through."""
    base = state.checkpoint.number if state.checkpoint else 0
    return {entry_key(number) for number in range(base + 1, state.number + 1)} | {checkpoint_key(base)}


def _is_content(key: str) -> bool:
    return key.startswith(("log/", "checkpoints/", "packs/"))


def _entry(key: str) -> int:
    return int(key.removeprefix("log/")) if key.startswith("log/") else 0
