"""The records about volumes that cross the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from hutch_mcp_tools.wire import Wire

# Requests ------------------------------------------------------------


class ReadVolumeRequest(Wire):
    """A file's bytes or a folder's entries at a snapshot."""

    volume: str
    path: str = "/"
    at: str | None = None  # a snapshot's number; None: the newest
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
    at: str | None = None


class ImportRequest(Wire):
    """Where a tar archive's content goes: into the folder `path`, which is made where it is missing."""

    volume: str
    path: str = "/"
    replaces: bool = True  # False: refuse where a file would be replaced


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


class SnapshotRecord(Wire):
    """One committed state of a volume."""

    snapshot: int
    run_id: str
    created_at: datetime
    files: int
    bytes: int
    changed: list[str] = []  # "A path", "M path", "D path", the first 50
    changes: int = 0  # how many in all
