"""A volume's place in this host's cache: the working folder, what is known of it, and who may touch it.

<cache>/<workspace>/<name>/lock            flock: held by whoever works on this place
                           mark            which snapshot `tree` stands on, and whose work is in it
                           index           that snapshot's tree with stats
                           used            what it takes of the disk; its time: when it was last in use
                           tree/           the working folder
                           snapshots/<n>/  lock, index, used and tree of readers
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import anyio

from hutch.errors import HutchError
from hutch.volumes.failures import DamagedError, FolderBusyError, refused
from hutch.volumes.folder.beneath import FOLDER_FLAGS, remove_tree
from hutch.volumes.lease.holders import Holder, this_process
from hutch.volumes.log.codec import INDEX, opened, pack_record, read_packs, sealed
from hutch.volumes.log.state import Reference, State, packs_in_use
from hutch.volumes.names import VolumeName
from hutch.volumes.tree.node_lines import node_line, nodes_of
from hutch.volumes.tree.nodes import walk
from hutch.volumes.tree.patches import applied

_LOCK_WAIT_S = 60.0  # another daemon may look at this place, which takes seconds where it is large
_ASK_AGAIN_S = 0.02
_ASIDE = "tree-of-unknown-origin-"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the working folder is.

    `clean`: equal to snapshot `number` when written. `leased`: a run under `token` may have changed it.
    `restoring`: something in between, worth nothing.
    """

    volume: str  # id
    number: int
    phase: Literal["clean", "leased", "restoring"]
    token: int
    process: Holder
    run: str = ""

    @property
    def crossed_boot(self) -> bool:
        """Whether the machine started anew since: files that were not synced may be torn."""
        return self.process.boot != this_process().boot


class Place:
    """One volume's place in the cache, or one of its readers' snapshots. Blocking: for threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.half_made = folder / "new"  # worth nothing unless someone holds the lock

    @property
    def mark(self) -> Mark | None:
        """None: nothing is there, or it cannot be understood; then nothing in the folder is trusted."""
        try:
            fields = json.loads((self.folder / "mark").read_bytes())
            return Mark(**fields | {"process": Holder(**fields["process"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put_mark(self, mark: Mark) -> None:
        """Whole for every process from now on; after a power cut an old one may be back (`crossed_boot`)."""
        self._replace("mark", json.dumps(asdict(mark)).encode())

    def read_index(self, name: VolumeName) -> State | None:
        """The state that was noted with stats. None: lost or torn, which costs time only (invariant 16)."""
        where = f"the index of volume '{name}'"
        try:
            index = opened(INDEX, (self.folder / "index").read_bytes(), where)
            header = index.header
            return State(
                name=name,
                id=header["volume"],
                number=header["number"],
                hash=header["hash"],
                token=header["token"],
                tree=applied(None, nodes_of(index.lines, where)),
                packs={pack.number: pack for pack in read_packs(header["packs"], where)},
                next_pack=header["next_pack"],
                next_inode=header["next_inode"],
                files=header["files"],
                bytes=header["bytes"],
                checkpoint=Reference(**header["checkpoint"]) if header["checkpoint"] else None,
                checkpoint_bytes=header["checkpoint_bytes"],
                bytes_since=header["bytes_since"],
            )
        except (OSError, DamagedError, ValueError, KeyError, TypeError):
            return None

    def write_index(self, state: State) -> None:
        """Note the state; its tree is the one with stats."""
        same = (
            "number",
            "hash",
            "token",
            "next_pack",
            "next_inode",
            "files",
            "bytes",
            "checkpoint_bytes",
            "bytes_since",
        )
        header = {key: getattr(state, key) for key in same} | {
            "volume": state.id,
            "checkpoint": state.checkpoint and state.checkpoint._asdict(),
            "packs": [pack_record(pack) for pack in packs_in_use(state).values()],
        }
        lines = (
            node_line(depth, trail.name if trail else b"", node, stat=True)
            for depth, trail, node in walk(state.tree)
        )
        self._replace("index", sealed(INDEX, header, lines)[0])

    @property
    def index_tag(self) -> tuple[int, int] | None:
        """Tells one written index from another; None: there is none."""
        try:
            status = (self.folder / "index").stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _replace(self, name: str, data: bytes) -> None:
        temporary = self.folder / f".{name}"
        try:
            temporary.write_bytes(data)
            temporary.replace(self.folder / name)
        except OSError as error:
            raise refused(self.folder, len(data), error) from error

    def note_used(self, stored_bytes: int | None = None) -> None:
        """The place is in use now, and takes so much of the disk. A hint: it may fail, on a full disk."""
        with suppress(OSError):
            fd = os.open(self.folder / "used", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if stored_bytes is not None:
                    os.pwrite(fd, b"%020d\n" % stored_bytes, 0)
                os.utime(fd)
            finally:
                os.close(fd)

    @property
    def used(self) -> tuple[int, int]:
        """When it was last in use, in nanoseconds, and what it takes of the disk, as far as that is known."""
        used_at = stored_bytes = 0
        with suppress(OSError, ValueError):
            used_at = (self.folder / "used").stat().st_mtime_ns
            stored_bytes = int((self.folder / "used").read_bytes() or b"0")
            stored_bytes += (self.folder / "index").stat().st_blocks * 512
        return used_at, stored_bytes

    def make_empty_tree(self) -> None:
        """An empty folder `new`; the tree, which is worth nothing, makes room for it."""
        self.remove("new")
        self.remove("tree")
        try:
            self.half_made.mkdir(mode=0o700)
        except OSError as error:
            raise refused(self.folder, 0, error) from error

    def publish_tree(self) -> None:
        """Put `new` in the place of the tree."""
        self.half_made.rename(self.tree)

    def set_aside(self, now: datetime) -> None:
        """Keep a tree that cannot be understood, for a person to look at (invariant 12)."""
        if self.tree.exists():
            aside = self.tree.rename(self.folder / f"{_ASIDE}{now:%Y%m%dT%H%M%S.%fZ}")
            _log.warning("%s cannot be told to be committed and stays until you remove it", aside)

    @property
    def aside(self) -> list[Path]:
        """What was set aside."""
        return sorted(self.folder.glob(f"{_ASIDE}*"))

    def remove(self, name: str) -> None:
        """Remove something of this place, whatever is in it."""
        fd = os.open(self.folder, FOLDER_FLAGS)
        try:
            remove_tree(fd, name.encode())
        finally:
            os.close(fd)

    @asynccontextmanager
    async def locked(self, *, shared: bool = False, wait_s: float = _LOCK_WAIT_S) -> AsyncGenerator[None]:
        """Nobody else works on this place, in any process. Raises FolderBusyError after `wait_s`."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        until = time.monotonic() + wait_s
        # Not in a thread: a cancellation would lose the descriptor, and with it the lock.
        while (fd := self._try_lock(kind)) is None:
            if time.monotonic() >= until:
                raise FolderBusyError("someone else works on the working folder", "wait until that has ended")
            await anyio.sleep(_ASK_AGAIN_S)
        try:
            yield
        finally:
            os.close(fd)

    def _try_lock(self, kind: int) -> int | None:
        """The lock's descriptor. None: someone else has it, or removed this place just now."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused(self.folder, 0, error) from error
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), (self.folder / "lock").stat()):
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        return None


def places(cache: Path) -> list[tuple[VolumeName, Place]]:
    """Every volume that has a place in the cache, if only for its readers."""
    found = []
    for folder in sorted(cache.glob("*/*")):
        try:
            found.append((VolumeName.parse("/".join(folder.parts[-2:])), Place(folder)))
        except HutchError:  # not ours
            continue
    return found
