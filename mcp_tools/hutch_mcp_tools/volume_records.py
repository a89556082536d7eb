"""The records about volumes that cross the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from hutch_mcp_tools.wire import Wire

# A snapshot: its number, a tag, a time such as 2026-11-20T10:00 (UTC), or an age such as 2h; None: the newest
At = str | None

VolumeWaitS = Annotated[float, Field(ge=0, le=86_400)]  # for a volume that someone else writes

# Requests ------------------------------------------------------------


class ReadVolumeRequest(Wire):
    """A file's bytes or a folder's entries at a snapshot."""

    volume: str
    path: str = "/"
    at: At = None
    offset: Annotated[int, Field(ge=0)] = 0  # bytes of a file, entries of a folder
    limit: Annotated[int, Field(ge=1, le=4 << 20)] = 1 << 20


class WriteVolumeRequest(Wire):
    """One file's new content; base64 in `content_base64`, so that any byte may be written."""

    volume: str
    path: str
    content_base64: str
    mode: Literal["create", "overwrite", "append"] = "create"
    executable: bool = False


class ExportRequest(Wire):
    """A folder at a snapshot, as a tar archive."""

    volume: str
    path: str = "/"
    at: At = None


class ImportRequest(Wire):
    """Where a tar archive's content goes: into the folder `path`, which is made where it is missing."""

    volume: str
    path: str = "/"
    replaces: bool = True  # False: refuse where a file would be replaced


class DiffRequest(Wire):
    """What differs between two snapshots below a path, or between the working folder and its snapshot."""

    volume: str
    a: At = None  # None: what the last run before `b` began with
    b: At = None
    working: bool = False  # instead of both: what the daemon's own folder holds beyond the newest snapshot
    path: str = "/"
    patch: bool = False  # with the change of each text
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class KeepRules(Wire):
    """Which older snapshots are kept; None: as the daemon has it. Those with a tag or a fork always are."""

    keep_all_s: Annotated[float, Field(ge=0)] | None = None  # everything younger is kept
    keep_last: Annotated[int, Field(ge=0)] | None = None
    hourly: Annotated[int, Field(ge=0)] | None = None  # the newest of an hour, for so many hours
    daily: Annotated[int, Field(ge=0)] | None = None
    weekly: Annotated[int, Field(ge=0)] | None = None
    monthly: Annotated[int, Field(ge=0)] | None = None


# Answers ------------------------------------------------------------


class VolumeEntry(Wire):
    """One name in a folder of a volume; a name that is not UTF-8 is shown with its odd bytes as %NN."""

    name: str
    kind: Literal["file", "folder", "link"]
    size: int = 0
    mode: int = 0
    mtime: datetime | None = None
    target: str | None = None  # of a link


class VolumeContent(Wire):
    """A file's bytes (`data_base64`) or a folder's entries, at `snapshot`."""

    volume: str
    path: str
    snapshot: int
    kind: Literal["file", "folder", "link"]
    mode: int = 0
    mtime: datetime | None = None
    size: int  # bytes of a file, number of entries of a folder
    offset: int
    next: int | None = None  # offset to go on from; None: that was all
    data_base64: str | None = None
    entries: list[VolumeEntry] | None = None
    target: str | None = None


class VolumeRecord(Wire):
    """A volume as it stands."""

    name: str
    snapshot: int  # the newest; 0: nothing committed yet
    files: int
    bytes: int
    updated_at: datetime | None = None
    held_by: str | None = None  # run or session that may write it now
    held_until: datetime | None = None
    removed_at: datetime | None = None  # it can be brought back for some days


class SnapshotRecord(Wire):
    """One committed state of a volume."""

    snapshot: int
    run_id: str
    created_at: datetime
    files: int
    bytes: int
    changed: list[str] = []  # "A path", "M path", "D path", the first 50
    changes: int = 0  # how many in all
    left_out: list[str] = []  # "path: reason" of what a volume does not keep, the first 50
    left_out_count: int = 0
    tags: list[str] = []
    while_running: bool = False  # committed while its run went on, which committed more since then


class VolumeChange(Wire):
    """How one path differs. `patch`, `added` and `deleted` (lines) only where they were asked for."""

    kind: Literal["A", "M", "D"]
    path: str
    before: VolumeEntry | None = None
    after: VolumeEntry | None = None
    patch: str | None = None  # a unified diff
    added: int = 0
    deleted: int = 0
    note: str = ""  # why there is no patch: "binary", "too large"


class VolumeDiff(Wire):
    """What turns snapshot `a` into snapshot `b`, or into the working folder."""

    volume: str
    a: int
    b: int | None  # None: the working folder
    changes: list[VolumeChange]
    next: int | None = None  # offset to go on from; None: that was all


class TagRecord(Wire):
    """A name of a snapshot, which is kept for as long as it has one."""

    label: str
    snapshot: int
    created_at: datetime


class VolumeDetails(Wire):
    """A volume, what it costs in the store, and how far it may grow."""

    volume: VolumeRecord
    snapshots: int
    stored_bytes: int  # in the store, for this volume
    history_bytes: int  # of them only because of older snapshots, or not collected yet
    shared_bytes: int  # what it needs of volumes that it is a fork of
    parent: str | None = None  # the nearest of those
    forks: int = 0  # volumes that are forks of it
    tags: list[TagRecord] = []
    max_bytes: int = 0  # 0: no bound
    max_files: int = 0
    max_history_bytes: int = 0


class CheckRecord(Wire):
    """What proving a volume whole has read, and what it found wrong."""

    name: str
    snapshot: int
    entries: int
    checkpoints: int
    packs: int
    blocks: int
    bytes_read: int
    problems: list[str] = []


class ThinnedRecord(Wire):
    """Which older snapshots were kept and which let go, by number; with `dry_run`: would be."""

    name: str
    kept: list[int]
    dropped: list[int]
    dry_run: bool


class CollectedRecord(Wire):
    """What nothing needed any more, in objects and bytes, and was deleted; with `dry_run`: would be."""

    name: str
    entries: int
    checkpoints: int
    packs: int
    markers: int
    volumes: int  # removed ones of this name, whose time is over
    bytes: int
    dry_run: bool
    problem: str | None = None  # why some of it must wait
