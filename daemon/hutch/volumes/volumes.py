"""The storage engine's door: lease, check out, commit, read, write, recover, check."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal

import anyio

from hutch.volumes.names import VolumeName
from hutch.volumes.records import (
    CheckReport,
    FileRead,
    FolderList,
    LinkTarget,
    Recovered,
    Snapshot,
    TreeEntry,
    VolumeInfo,
)
from hutch.volumes.store import ObjectStore

WriteMode = Literal["create", "overwrite", "append"]


class Lease:
    """The right to write one volume, renewed until its `async with` ends. `lost`: it was taken over."""

    name: VolumeName
    holder: str
    token: int
    lost: anyio.Event


class Volumes:
    """All volumes of one store, with `cache` for this host's working folders (a private folder)."""

    def __init__(self, store: ObjectStore, cache: Path) -> None: ...

    async def list(self) -> list[VolumeInfo]:
        raise NotImplementedError

    async def info(self, name: VolumeName) -> VolumeInfo:
        """Raises HutchError `volume_unknown`."""
        raise NotImplementedError

    def lease(
        self, name: VolumeName, holder: str, *, create: bool = False, wait_s: float = 0
    ) -> AbstractAsyncContextManager[Lease]:
        """The exclusive right to write.

        Raises:
            HutchError: `volume_unknown` (and not `create`), `volume_held` after `wait_s` seconds.
        """
        raise NotImplementedError

    async def check_out(self, lease: Lease) -> Path:
        """This host's working folder, equal to the newest snapshot. Valid until the lease ends."""
        raise NotImplementedError

    async def commit(self, lease: Lease, run_id: str) -> Snapshot | None:
        """Make the working folder's state the newest snapshot; None: nothing had changed.

        Raises:
            HutchError: `lease_lost`: the hint names the volume that keeps the work.
        """
        raise NotImplementedError

    def check_out_read_only(
        self, name: VolumeName, at: int | None = None
    ) -> AbstractAsyncContextManager[Path]:
        """A folder equal to a snapshot, shared by its readers: mount it read-only."""
        raise NotImplementedError

    async def log(self, name: VolumeName, limit: int = 20) -> Sequence[Snapshot]:
        """Newest first."""
        raise NotImplementedError

    async def read(
        self,
        name: VolumeName,
        path: str | bytes,
        *,
        at: int | None = None,
        offset: int = 0,
        limit: int = 1 << 20,
    ) -> FileRead | FolderList | LinkTarget:
        """A part of a file, a folder's entries, or a link's target, straight from the store.

        Raises:
            HutchError: `volume_unknown`, `snapshot_unknown`, `path_unknown`, `path_invalid`, `not_a_folder`.
        """
        raise NotImplementedError

    def tree(
        self, name: VolumeName, at: int | None = None, prefix: str | bytes = "/"
    ) -> AsyncGenerator[TreeEntry]:
        """Everything below `prefix`, a folder before what is in it."""
        raise NotImplementedError

    async def write(
        self,
        name: VolumeName,
        path: str | bytes,
        data: bytes,
        *,
        mode: WriteMode = "create",
        executable: bool = False,
        holder: str = "write",
    ) -> Snapshot:
        """Write one file as one commit, making the folders it needs; takes the lease itself.

        Raises:
            HutchError: `path_exists`, `path_invalid`, `not_a_folder`, `not_a_file`, and those of `lease`.
        """
        raise NotImplementedError

    async def recover(self) -> Sequence[Recovered]:
        """Commit what dead predecessors on this host left in working folders; call once at start-up."""
        raise NotImplementedError

    async def check(self, name: VolumeName) -> CheckReport:
        """Read everything that the newest snapshot and its history need, and prove it whole."""
        raise NotImplementedError
