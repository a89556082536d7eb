"""Keeps the folders of all volumes on this host within bounds: those used longest ago leave first.

A folder leaves only if it was proven to hold nothing but what is committed (invariant 12), under its lock,
and by one rename into the bin: so no process ever meets half a folder, and what a killed one left in the bin
is removed later. Any number of processes may share a cache.
"""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import to_thread

from hutch.errors import HutchError
from hutch.volumes.failures import DiskFullError, FolderBusyError, disk_of, free_bytes
from hutch.volumes.folder.beneath import FOLDER_FLAGS, TreeMovedError
from hutch.volumes.folder.copies import Copies
from hutch.volumes.folder.scan import put_back_modes, scan
from hutch.volumes.folder.working import Place, places
from hutch.volumes.log.state import State
from hutch.volumes.names import VolumeName
from hutch.volumes.records import FULL_BYTES, CacheUse, SetAside
from hutch.volumes.tree.nodes import File, Folder, walk

MAX_BYTES = 10_000_000_000
_BIN = ".evicted"  # no workspace begins with a dot
_LENDERS = 16  # folders that are asked, each for a few files
_FILE_BYTES = 4096  # of which most disks give a multiple to a file
_log = logging.getLogger(__name__)


class Room(NamedTuple):
    """What is wanted of a disk."""

    bytes: int
    files: int

    def fits_on_disk(self, place: Path) -> bool:
        disk = disk_of(place)
        has_inodes = disk.f_files == 0 or disk.f_favail >= self.files  # 0: as many as one likes
        return has_inodes and disk.f_bavail * disk.f_frsize >= self.bytes


@dataclass(frozen=True, slots=True)
class _Resident:
    """A folder in the cache. `name` None: readers' snapshot, which holds nothing of its own."""

    place: Place
    name: VolumeName | None
    used_at_ns: int
    stored_bytes: int


class Cache:
    """All folders of this host below `folder`."""

    def __init__(self, folder: Path, max_bytes: int, copies: Copies) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._copies = copies
        self._bin = Place(folder / _BIN)
        self._kept: dict[Path, object] = {}  # what could not be proven, with the tag of its index then
        self._grown = anyio.Event()

    async def tend(self) -> None:
        """Keep within bounds for ever, in the background, beginning with what a killed process left."""
        while True:
            grown = self._grown = anyio.Event()
            try:
                await self._empty_bin()
                await self._evict_half_made()
                await self.make_room(Room(0, 0))
                self._tell_if_full()
            except (HutchError, OSError) as error:
                _log.warning("the cache could not be trimmed: %s", error)
            await grown.wait()

    def _tell_if_full(self) -> None:
        free = free_bytes(self.folder)
        if free < FULL_BYTES:
            _log.warning("the disk of the cache %s is full: %d bytes are free", self.folder, free)

    async def _evict_half_made(self) -> None:
        """What a restore left that was killed."""
        for resident in await to_thread.run_sync(_residents, self.folder):
            if not resident.place.tree.exists() and await self._evict(resident):
                self.note_growth()

    def note_growth(self) -> None:
        """A folder is free to leave, or to be removed, from now on."""
        self._grown.set()

    async def make_room(self, wanted: Room) -> None:
        """Evict until that fits, into the bounds and onto the disk, or nothing more can go."""
        if not wanted.fits_on_disk(self.folder):
            await self._empty_bin()
        residents = await to_thread.run_sync(_residents, self.folder)
        total = sum(resident.stored_bytes for resident in residents)
        for resident in sorted(residents, key=lambda each: each.used_at_ns):
            if total + wanted.bytes <= self._max_bytes and wanted.fits_on_disk(self.folder):
                return
            if await self._evict(resident):
                total -= resident.stored_bytes
                self.note_growth()  # the bin is emptied in the background, unless its room is wanted now
                if not wanted.fits_on_disk(self.folder):
                    await self._empty_bin()

    async def _evict(self, resident: _Resident) -> bool:
        """False: it is in use, or may hold something of its own."""
        place = resident.place
        if self._kept.get(place.folder) == (place.index_tag, place.used):
            return False
        try:
            async with place.locked(wait_s=0):
                if resident.name and not await self._may_go(place, resident.name):
                    return False
                await to_thread.run_sync(self._clear, place)
        except FolderBusyError:
            return False
        except (HutchError, OSError) as error:
            _log.warning("%s cannot be evicted: %s", place.folder, error)
            return False
        _log.info("evicted %s, %d bytes", place.folder, resident.stored_bytes)
        return True

    async def _may_go(self, place: Place, name: VolumeName) -> bool:
        mark = place.mark
        if not place.tree.exists():  # someone else was quicker
            return True
        if mark and mark.phase == "restoring" and not mark.crossed_boot:
            return True
        if await self._copies.is_committed(place, name):
            return True
        if mark is None or mark.phase == "clean":
            _log.warning("%s is not evicted: it was changed since its last run", place.tree)
        self._kept[place.folder] = (place.index_tag, place.used)
        return False

    def _clear(self, place: Place) -> None:
        """First the tree, at once: a place without one is worth nothing, whatever else is left there."""
        for made in (place.tree, place.half_made):
            if made.exists():
                self._throw_away(place, made)
        for name in ("mark", "index", "used", "lock"):
            (place.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # readers, or what was set aside
            place.folder.rmdir()

    def _throw_away(self, place: Place, made: Path) -> None:
        try:
            self._bin.folder.mkdir(mode=0o700, exist_ok=True)
            made.rename(self._bin.folder / secrets.token_hex(8))
        except OSError:  # not even room for a name in the bin
            made.rename(place.half_made)
            place.remove(place.half_made.name)

    async def lenders(self, borrower: Place) -> list[Path]:
        """Folders that may have content which another needs: those in use last."""
        residents = await to_thread.run_sync(_residents, self.folder)
        newest_first = sorted(residents, key=lambda each: each.used_at_ns, reverse=True)
        return [each.place.tree for each in newest_first if each.place.folder != borrower.folder][:_LENDERS]

    async def evict_snapshots(self, shelf: Path, kept: str) -> None:
        """Evict snapshots of a volume that nobody reads, so that at most one stays for the next reader."""
        for folder in shelf.iterdir():
            if folder.name != kept and await self._evict(_Resident(Place(folder), None, 0, 0)):
                self.note_growth()  # the bin is emptied in the background

    async def _empty_bin(self) -> None:
        """Wait for whoever empties it already, in any process: then there is room."""
        try:
            async with self._bin.locked():
                await to_thread.run_sync(_remove_all, self._bin)
        except FolderBusyError:  # it takes long, so there is room by now
            return
        except DiskFullError:  # for a lock: then two may be in each other's way
            await to_thread.run_sync(_remove_all, self._bin)

    async def use(self) -> CacheUse:
        """What it takes of the disk, and what it must not touch."""
        return await to_thread.run_sync(self._use)

    def _use(self) -> CacheUse:
        residents = _residents(self.folder)
        aside = [
            SetAside(str(path), _measured(path)) for _, place in places(self.folder) for path in place.aside
        ]
        return CacheUse(
            folder=str(self.folder),
            max_bytes=self._max_bytes,
            used_bytes=sum(resident.stored_bytes for resident in residents),
            folders=len(residents),
            free_bytes=free_bytes(self.folder),
            set_aside=tuple(aside),
        )


async def room_for(state: State) -> Room:
    """About what a state's folder takes: of a sparse file what is in it, of a hard link one file."""
    return await to_thread.run_sync(_room_for, state.tree)


def _room_for(tree: Folder) -> Room:
    total = count = 0
    linked: set[int] = set()
    for _, _, node in walk(tree):
        count += 1
        if isinstance(node, File) and node.inode not in linked:
            linked.update((node.inode,) if node.inode else ())
            size = node.size if node.data is None else sum(length for _, length in node.data)
            total += -(-size // _FILE_BYTES) * _FILE_BYTES
    return Room(total, count)


def _residents(cache: Path) -> list[_Resident]:
    """What is noted of each folder: none of them is walked."""
    found = []
    for name, place in places(cache):
        for its_name, each in ((name, place), *((None, reader) for reader in _shelf(place))):
            if each.tree.exists() or each.half_made.exists():
                found.append(_Resident(each, its_name, *each.used))
    return found


def _shelf(place: Place) -> Iterator[Place]:
    return map(Place, (place.folder / "snapshots").glob("*"))


def _measured(folder: Path) -> int:
    """What a folder takes of the disk, by a walk."""
    try:
        root = os.open(folder, FOLDER_FLAGS)
        try:
            findings = scan(root, None)
            put_back_modes(root, findings)
            return findings.stored_bytes
        finally:
            os.close(root)
    except (OSError, TreeMovedError):  # a person is at work there
        return 0


def _remove_all(full: Place) -> None:
    for path in full.folder.glob("*"):
        if path.name != "lock":
            try:
                full.remove(path.name)
            except (OSError, TreeMovedError) as error:
                _log.warning("%s cannot be removed: %s", path, error)
