"""The volumes of one run: leased and checked out on the way in, committed and released on the way out."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from hutch.policy import VolumeMount
from hutch.runs.rooms import Rooms
from hutch.volumes import Lease, Snapshot, Volumes


@dataclass(slots=True)
class Folders:
    """Where the volumes of a run lie on this host."""

    _volumes: Volumes
    paths: dict[str, Path] = field(default_factory=dict)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _committing: anyio.Lock = field(
        default_factory=anyio.Lock
    )  # commands of one kept sandbox end at any time

    def writable(self, name: str) -> Path | None:
        return self.paths[name] if name in self._leases else None

    async def commit(self, run_id: str) -> dict[str, Snapshot]:
        """Commit every writable volume that changed. Raises HutchError `lease_lost`, `store_failed`."""
        async with self._committing:
            made = {name: await self._volumes.commit(lease, run_id) for name, lease in self._leases.items()}
        return {name: snapshot for name, snapshot in made.items() if snapshot is not None}


@asynccontextmanager
async def folders_of(rooms: Rooms, mounts: Sequence[VolumeMount], holder: str) -> AsyncGenerator[Folders]:
    """Hold the volumes of a run for the length of the block.

    Raises HutchError: `volume_held`, `volume_unknown` for a read-only one, `volume_name_invalid`, and what
    the storage engine says of a broken store.
    """
    volumes = rooms.volumes
    folders = Folders(volumes)
    async with AsyncExitStack() as stack:
        # one order for everybody, so that two runs never wait for each other in a circle
        for mount in sorted(mounts, key=lambda m: m.name):
            name = rooms.volume(mount.name)
            if mount.writable:
                lease = await stack.enter_async_context(volumes.lease(name, holder, create=True))
                folders.paths[mount.name] = await volumes.check_out(lease)
                folders._leases[mount.name] = lease
            else:
                folders.paths[mount.name] = await stack.enter_async_context(volumes.check_out_read_only(name))
        yield folders


def snapshot_numbers(made: Mapping[str, Snapshot]) -> dict[str, int]:
    """Return the number of each volume's new snapshot."""
    return {name: snapshot.number for name, snapshot in made.items()}


def changed_paths(made: Mapping[str, Snapshot]) -> dict[str, tuple[str, ...]]:
    """Return the first changes of each volume as "A path", "M path", "D path"."""
    return {name: tuple(map(str, snapshot.changes)) for name, snapshot in made.items()}
