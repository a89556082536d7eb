"""What the engine answers with: plain frozen records. Times are UTC, sizes bytes.

A path is shown as text that is always valid UTF-8: bytes that are not stand as `%NN`. `raw` has the bytes.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

NodeKind = Literal["file", "folder", "link"]
ChangeKind = Literal["A", "M", "D"]
At = int | str | None  # a snapshot: its number, a tag, a time or an age ("2h"); None: the newest

_ODD_BYTE = re.compile("[\udc80-\udcff]")  # as Python decodes what is not UTF-8
FULL_BYTES = 1 << 20  # with less a disk has hardly room for the notes of a folder


@dataclass(frozen=True, slots=True)
class Change:
    """One path added, modified or deleted; a deleted folder stands for all that was in it."""

    kind: ChangeKind
    path: str
    raw: bytes

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in the folder that a volume does not keep, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One committed state. `changes` and `left_out` are the first 50; the counts are of all.

    `while_running`: committed while its run went on.
    """

    number: int
    run_id: str
    created_at: datetime
    files: int
    bytes: int
    changes: tuple[Change, ...]
    change_count: int
    left_out: tuple[LeftOut, ...]
    left_out_count: int
    while_running: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeInfo:
    """A volume as it stands. Snapshot 0: nothing was committed yet; a fork is then what its parent was."""

    name: str
    snapshot: int
    files: int
    bytes: int
    updated_at: datetime | None
    held_by: str | None
    held_until: datetime | None
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VolumeQuota:
    """How much a volume's newest snapshot may hold, and its history beside it. 0: no bound."""

    max_bytes: int = 0
    max_files: int = 0
    max_history_bytes: int = 0


NO_QUOTA = VolumeQuota()


@dataclass(frozen=True, slots=True)
class VolumeStat:
    """What a volume holds and what it costs.

    `files` and `bytes` are those of the newest snapshot. `stored_bytes` lie in the store for this volume, and
    `history_bytes` of them only because of older snapshots, and of what is not collected yet. `shared_bytes`
    lie in the store for the volumes that it is a fork of, `parent` the nearest, and are needed by it too.
    """

    info: VolumeInfo
    snapshots: int
    stored_bytes: int
    history_bytes: int
    shared_bytes: int
    parent: str | None
    tags: "tuple[Tag, ...]"
    forks: int
    quota: VolumeQuota


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file, folder or link of a snapshot; `path` begins with '/', `size` is 0 unless a file."""

    path: str
    raw: bytes
    kind: NodeKind
    mode: int
    mtime_ns: int
    size: int
    target: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class TreeChange:
    """How one path differs between two trees: what stood there and what stands there now."""

    kind: ChangeKind
    before: TreeEntry | None
    after: TreeEntry | None

    @property
    def path(self) -> str:
        entry = self.after or self.before
        assert entry is not None
        return entry.path


@dataclass(frozen=True, slots=True)
class Thinned:
    """What thinning kept of older history, and what it let go, by number. With `dry_run`: would have."""

    name: str
    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """What garbage collection deleted, in objects and bytes. With `dry_run`: would have.

    `volumes`: removed ones of this name whose time is over. `problem`: why some of it must wait.
    """

    name: str
    entries: int
    checkpoints: int
    packs: int
    markers: int
    volumes: int
    bytes: int
    dry_run: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Housekept:
    """What was done for all volumes of a workspace: snapshots let go, bytes deleted, what went wrong."""

    volumes: int
    dropped: int
    bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tag:
    """A name that somebody gave a snapshot, which is kept for as long as it has one."""

    label: str
    number: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FileRead:
    """Bytes of a file from `offset`; `next` is where to go on, None at its end."""

    entry: TreeEntry
    snapshot: int
    data: bytes
    offset: int
    next: int | None


@dataclass(frozen=True, slots=True)
class FolderList:
    """Entries of a folder from `offset`, by name; `total` counts all of them."""

    entry: TreeEntry
    snapshot: int
    entries: tuple[TreeEntry, ...]
    total: int
    offset: int
    next: int | None


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """A symbolic link: its target is told, never followed."""

    entry: TreeEntry
    snapshot: int
    target: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What became of a working folder that a dead daemon left: committed to `name`, or kept in `conflict`.

    `snapshot` is None where nothing had changed; `problem` tells why it must wait for the next attempt.
    """

    name: str
    snapshot: int | None
    conflict: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A working folder that may not have been committed: it stays until a person removes it."""

    path: str
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the folders of this host's volumes take of its disk."""

    folder: str
    max_bytes: int
    used_bytes: int
    folders: int
    free_bytes: int  # on its disk
    set_aside: tuple[SetAside, ...]

    @property
    def is_full(self) -> bool:
        """Whether its disk has hardly room for a folder's notes."""
        return self.free_bytes < FULL_BYTES


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome of proving a volume whole. `problems` is empty, or names each damaged or missing object."""

    name: str
    snapshot: int
    entries: int
    checkpoints: int
    packs: int
    blocks: int
    bytes_read: int
    problems: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not self.problems


def shown(path: bytes) -> str:
    """A path as text for people: what is not valid UTF-8 stands as `%NN`."""
    return _ODD_BYTE.sub(lambda odd: f"%{ord(odd[0]) - 0xDC00:02X}", path.decode(errors="surrogateescape"))


def quoted(path: bytes) -> str:
    """A path from the root of a volume as a message has it: in one line, whatever its names hold."""
    return repr(f"/{shown(path)[:200]}")
