"""The part of the engine's door that is about snapshots: compare, go back, fork, name, thin out, collect."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager

from hutch.volumes.lease.leases import Lease
from hutch.volumes.names import VolumeName
from hutch.volumes.past.adopting import Adopting
from hutch.volumes.past.collecting import GRACE_S, Collector
from hutch.volumes.past.housekeeping import Housekeeper
from hutch.volumes.past.measuring import Measurer
from hutch.volumes.past.retention import RetentionRules
from hutch.volumes.past.snapshots import Past
from hutch.volumes.past.thinning import Thinner
from hutch.volumes.records import (
    At,
    Collected,
    Housekept,
    Snapshot,
    Tag,
    Thinned,
    TreeChange,
    VolumeInfo,
    VolumeStat,
)


class PastDoor(ABC):
    """What `Volumes` can do with the past of a volume."""

    _past: Past
    _adopting: Adopting
    _thinner: Thinner
    _collector: Collector
    _measurer: Measurer
    _housekeeper: Housekeeper

    @abstractmethod
    def lease(
        self, name: VolumeName, holder: str, *, create: bool = False, wait_s: float = 0
    ) -> AbstractAsyncContextManager[Lease]:
        """The exclusive right to write."""

    def diff(
        self, name: VolumeName, a: At, b: At = None, *, prefix: str | bytes = "/"
    ) -> AsyncGenerator[TreeChange]:
        """Every path below `prefix` that differs between two snapshots, a folder before what is in it.

        Raises:
            HutchError: `snapshot_unknown`, `at_invalid`, `tag_unknown`, `path_unknown`, `path_invalid`.
        """
        return self._past.diff(name, a, b, prefix)

    def diff_working(self, name: VolumeName, *, prefix: str | bytes = "/") -> AsyncGenerator[TreeChange]:
        """What this host's working folder holds beyond the snapshot it stands on, also while a run works.

        Raises:
            HutchError: `not_checked_out`, `folder_busy`, `path_unknown`, `path_invalid`.
        """
        return self._past.diff_working(name, prefix)

    async def restore(
        self, name: VolumeName, at: At, *, prefix: str | bytes = "/", holder: str = "restore"
    ) -> Snapshot:
        """Make all below `prefix` what it was at a snapshot, as a new one; nothing is lost. Takes the lease.

        Where nothing differs it is the newest snapshot that is returned.

        Raises:
            HutchError: `snapshot_unknown`, `at_invalid`, `tag_unknown`, `path_unknown`, and those of `lease`.
        """
        async with self.lease(name, holder) as lease:
            return await self._past.restore(lease, at, prefix)

    async def remove(self, name: VolumeName, *, holder: str = "removal") -> None:
        """Remove a volume; until its content is collected it can be brought back. Its name is free at once.

        Raises:
            HutchError: `volume_unknown`, `volume_held`.
        """
        async with self.lease(name, holder) as lease:
            await self._past.remove(lease)

    async def bring_back(self, name: VolumeName) -> VolumeInfo:
        """Undo a removal. Raises HutchError `volume_unknown`; `volume_exists`: the name is in use again."""
        return await self._past.bring_back(name)

    async def fork(self, name: VolumeName, to: VolumeName, *, at: At = None) -> VolumeInfo:
        """A new volume that begins at a snapshot of another: no content is copied, however much it is.

        Raises:
            HutchError: `volume_unknown`, `volume_exists`, `snapshot_unknown`.
        """
        return await self._past.fork(name, to, at)

    async def adopt(
        self, name: VolumeName, fork: VolumeName, *, run_id: str, holder: str = "adoption"
    ) -> Snapshot | None:
        """Make what a fork of the volume holds its newest snapshot, as of `run_id`; None: it is so.

        All of it or nothing, at whatever instant it is cut off. Takes both leases. What the fork wrote is
        copied: it can be removed afterwards.

        Raises:
            HutchError: `volume_moved_on`: the volume was written since the fork began; `fork_unrelated`,
                and those of `lease`.
        """
        async with self.lease(fork, holder) as source, self.lease(name, holder) as lease:
            return await self._adopting.adopt(lease, source, run_id)

    async def tag(self, name: VolumeName, label: str, at: At = None) -> Tag:
        """Give a snapshot a name: it is kept for as long as it has one.

        Raises:
            HutchError: `tag_invalid`, `tag_exists`, `snapshot_unknown`.
        """
        return await self._past.tag(name, label, at)

    async def untag(self, name: VolumeName, label: str) -> None:
        """Raises HutchError `tag_unknown`."""
        await self._past.untag(name, label)

    async def tags(self, name: VolumeName) -> Sequence[Tag]:
        """The names of a volume's snapshots."""
        return await self._past.tags(name)

    async def thin(self, name: VolumeName, rules: RetentionRules, *, dry_run: bool = False) -> Thinned:
        """Decide which older snapshots are kept; `gc` deletes what only the others needed.

        Raises:
            HutchError: `volume_unknown`.
        """
        return await self._thinner.thin(name, rules, dry_run=dry_run)

    async def gc(self, name: VolumeName, *, grace_s: float = GRACE_S, dry_run: bool = False) -> Collected:
        """Delete what nothing kept needs, also of volumes of this name removed more than `grace_s` ago.

        Raises:
            HutchError: `volume_unknown`, `volume_damaged`: what is kept cannot be read; nothing was deleted.
        """
        return await self._collector.collect(name, grace_s=grace_s, dry_run=dry_run)

    async def stat(self, name: VolumeName) -> VolumeStat:
        """What a volume holds, and what it costs. Raises HutchError `volume_unknown`, `volume_damaged`."""
        return await self._measurer.stat(name)

    async def housekeep(
        self, workspace: str, rules: RetentionRules, *, grace_s: float = GRACE_S
    ) -> Housekept:
        """`thin` and `gc` for every volume of a workspace, one after the other."""
        return await self._housekeeper.keep(workspace, rules, grace_s)
