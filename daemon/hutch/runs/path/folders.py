"""The volumes of one run: leased and checked out on the way in, committed and released on the way out."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from hutch.errors import HutchError
from hutch.mounts import VolumeMount
from hutch.policy import Plan
from hutch.runs.rooms import PathRooms
from hutch.volumes import (
    Freezer,
    Lease,
    LeaseHeldError,
    Snapshot,
    StoreError,
    Stream,
    StreamStatus,
    VolumeName,
    Volumes,
)

_LOOK_S = 1.0  # between two looks whether anybody still waits
_WORTH_TELLING_S = 3.0  # to be behind by less is the ordinary state of a folder that is written to
_UNMAKE_S = 10.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0  # between two attempts to commit


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit came to. `unsynced`: the store did not take these volumes; why, by their names."""

    snapshots: dict[str, Snapshot]
    unsynced: dict[str, HutchError]

    def told(self) -> dict[str, Any]:
        """What the record of the run shall say."""
        return {
            "snapshots": {name: made.number for name, made in self.snapshots.items()},
            "changed": {name: tuple(map(str, made.changes)) for name, made in self.snapshots.items()},
            "unsynced": {name: why.message for name, why in self.unsynced.items()},
        }


@dataclass(slots=True)
class Folders:
    """Where the volumes of a run lie on this host."""

    _volumes: Volumes
    paths: dict[str, Path] = field(default_factory=dict)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _streams: dict[str, Stream] = field(default_factory=dict)
    # Commands of one kept sandbox end at any time
    _committing: anyio.Lock = field(default_factory=anyio.Lock)

    def writable(self, name: str) -> Path | None:
        return self.paths[name] if name in self._leases else None

    @property
    def writables(self) -> Mapping[str, Path]:
        return {name: self.paths[name] for name in self._leases}

    @asynccontextmanager
    async def streamed(
        self, run_id: str, sandbox: Freezer, stop: Callable[[str], None]
    ) -> AsyncGenerator[None]:
        """Let what changes become commits while a sandbox works in the folders; its end leaves the block.

        `stop` is called with the reason when a volume has grown beyond its bound: it would grow for nothing.
        """

        def heed(status: StreamStatus) -> None:
            if status.is_over_quota:
                stop(status.problem or "a volume has grown beyond its bound")

        async with AsyncExitStack() as stack:
            for name, lease in self._leases.items():
                stream = self._volumes.stream(lease, run_id, freezer=sandbox, on_event=heed)
                self._streams[name] = await stack.enter_async_context(stream)
            yield

    def behind(self) -> dict[str, str]:
        """Volumes whose newest changes the store has not yet, and how far it is behind, for a person."""
        return {name: text for name, each in self._streams.items() if (text := _behind(each.status))}

    async def commit(self, run_id: str) -> Committed:
        """Commit every writable volume that changed; what goes wrong with one keeps none of the others.

        Raises HutchError `lease_lost`, `quota_exceeded`: the hint names the volume that keeps the work.
        """
        made: dict[str, Snapshot] = {}
        unsynced: dict[str, HutchError] = {}
        refused: list[HutchError] = []
        async with self._committing:
            for name, lease in self._leases.items():
                try:
                    snapshot = await self._volumes.commit(lease, run_id)
                except StoreError as error:
                    unsynced[name] = error
                except HutchError as error:
                    refused.append(error)
                else:
                    made |= {name: snapshot} if snapshot else {}
        if refused:
            raise refused[0]
        return Committed(made, unsynced)

    async def commit_patiently(self, run_id: str, patience_s: float, say: Callable[[str], None]) -> Committed:
        """Commit, and again for as long as the store does not take it and patience lasts."""
        made: dict[str, Snapshot] = {}
        until, pause_s = time.monotonic() + patience_s, _PAUSE_S
        while True:
            committed = await self.commit(run_id)
            made |= committed.snapshots
            if not committed.unsynced or time.monotonic() > until:
                return Committed(made, committed.unsynced)
            say(f"waiting for the store: {next(iter(committed.unsynced.values())).message}")
            await anyio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


@asynccontextmanager
async def folders_of(
    rooms: PathRooms, plan: Plan, holder: str, may_wait: Callable[[str], bool]
) -> AsyncGenerator[Folders]:
    """Hold the volumes of a run for the length of the block. What it makes of them goes if it fails unused.

    `may_wait` is told what it waits for, again and again, and says whether anybody still wants it.

    Raises HutchError: `volume_held`, `volume_unknown` for a read-only one, `volume_exists` for one that was
    to be a new fork, `volume_name_invalid`, and what the storage engine says of a broken store.
    """
    volumes = rooms.volumes
    folders = Folders(volumes)
    if any(mount.source for mount in plan.volumes):
        await _refuse_unreadable(rooms, plan)  # before the first fork is made, which would stay
    made: list[VolumeName] = []
    async with _unmade_unless_used(volumes, made), AsyncExitStack() as stack:
        # one order for everybody, so that two runs never wait for each other in a circle
        for mount in sorted(plan.volumes, key=lambda m: m.key):
            name = rooms.volume(mount.name)
            if mount.source:
                await _make_fork(rooms, mount)
                made.append(name)
            if mount.writable:
                lease = await _held(stack, volumes, name, holder, plan.volume_wait_s, may_wait)
                made += [name] if lease.has_made else []
                folders.paths[mount.key] = await volumes.check_out(lease)
                folders._leases[mount.name] = lease
            else:
                folder = volumes.check_out_read_only(name, at=mount.at)
                folders.paths[mount.key] = await stack.enter_async_context(folder)
        yield folders


async def _refuse_unreadable(rooms: PathRooms, plan: Plan) -> None:
    """Raise `volume_unknown` or `snapshot_unknown` unless all that is to be forked or only read is there."""
    for mount in plan.volumes:
        if mount.source or not mount.writable:
            await rooms.volumes.read(rooms.volume(mount.source or mount.name), "/", at=mount.at, limit=1)


@asynccontextmanager
async def _unmade_unless_used(volumes: Volumes, made: Sequence[VolumeName]) -> AsyncGenerator[None]:
    """Remove those in which nothing was ever written, if the block fails: its run did not come to work."""
    try:
        yield
    except BaseException:
        with anyio.move_on_after(_UNMAKE_S, shield=True):
            for name in made:
                with suppress(HutchError):  # then it stays, and is no more than a name
                    async with volumes.lease(name, "removal"):
                        pass  # what was written all the same is committed now
                    if (await volumes.info(name)).snapshot == 0:
                        await volumes.remove(name)
        raise


async def refuse_fork(rooms: PathRooms, mount: VolumeMount) -> None:
    """Raise what `_make_fork` would raise as things stand. Nothing is made."""
    assert mount.source is not None
    await rooms.volumes.read(rooms.volume(mount.source), "/", at=mount.at, limit=1)
    try:
        await rooms.volumes.info(rooms.volume(mount.name))
    except HutchError as error:
        if error.code != "volume_unknown":
            raise
    else:
        raise _stands_already(mount, f"there is a volume '{mount.name}' already")


async def _make_fork(rooms: PathRooms, mount: VolumeMount) -> None:
    """Make the volume that a mount wants as a fork of another. Raises what `Volumes.fork` raises."""
    assert mount.source is not None
    source, to = rooms.volume(mount.source), rooms.volume(mount.name)
    try:
        await rooms.volumes.fork(source, to, at=mount.at)
    except HutchError as error:
        if error.code != "volume_exists":
            raise
        raise _stands_already(mount, error.message) from error


def _stands_already(mount: VolumeMount, message: str) -> HutchError:
    hint = f"to go on in it leave out ={mount.source}; for a new one choose another name"
    return HutchError("volume_exists", message, hint)


async def _held(
    stack: AsyncExitStack,
    volumes: Volumes,
    name: VolumeName,
    holder: str,
    wait_s: float,
    may_wait: Callable[[str], bool],
) -> Lease:
    until = time.monotonic() + wait_s
    while True:
        left_s = max(0.0, until - time.monotonic())
        wanted = volumes.lease(name, holder, create=True, wait_s=min(left_s, _LOOK_S))
        try:
            return await stack.enter_async_context(wanted)
        except LeaseHeldError as error:
            if time.monotonic() >= until or not may_wait(f"waiting: {error.message}"):
                raise


def _behind(status: StreamStatus) -> str:
    since = status.behind_since
    late_s = (datetime.now(UTC) - since).total_seconds() if since else 0.0
    if late_s < _WORTH_TELLING_S:
        return status.problem or ""
    text = f"{late_s:.0f} s behind: {status.files_behind} files, {status.bytes_behind / 1e6:.1f} MB"
    return f"{text}; {status.problem}" if status.problem else text
