"""The records of changes that wait to be applied to a folder of the daemon's host."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from hutch_mcp_tools.wire import Wire


class ChangesRequest(Wire):
    """What a run or session with a workspace under review changed."""

    id: Annotated[str, Field(min_length=1)]  # of the run or session
    path: str = ""  # only this file, or what is in this folder
    patch: bool = True  # with the lines themselves
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=100_000)] = 1000


class WorkspaceChange(Wire):
    """One path. Bytes of a name that are no text are escaped."""

    kind: Literal["A", "M", "D"]
    path: str
    what: str  # "file", "folder", "link": what it is, or was
    patch: str | None = None  # a unified diff
    note: str = ""  # why there is none: binary, too large, a new mode
    added: int = 0
    deleted: int = 0
    hunks: int = 0
    called_out: str = ""  # why applying it needs consent: the host would run it
    refused: str = ""  # why it is never applied
    conflict: bool = False  # the real file is another than the one that the sandbox saw


class WorkspaceChanges(Wire):
    """A page of them, by path."""

    review: str  # the id under which they wait
    folder: str
    how: Literal["overlay", "copy"]
    changes: list[WorkspaceChange]
    count: int  # of all pages
    next: int | None = None  # the offset of the next page


class ReviewRecord(Wire):
    """What waits of one run or session."""

    review: str
    folder: str
    changes: int | None  # None: a sandbox is at work on it
    bytes: int | None  # that it takes on the disk of the daemon's state
    created_at: datetime


class ApplyRequest(Wire):
    """Which changes are to be made in the real folder: all of them or none of them is made."""

    id: Annotated[str, Field(min_length=1)]
    paths: list[str] = []  # files, or folders with all in them; none: everything
    skip: list[str] = []
    hunks: dict[str, list[int]] = {}  # path -> numbers of hunks, from 1
    include_executable: bool = False  # also what the host would run by itself
    agreed: bool = False  # a person has said so to whoever asks


class AppliedRecord(Wire):
    """What was applied, and what still waits."""

    review: str
    folder: str
    applied: list[str]  # "A path", "M path", "D path": the first of them
    count: int  # of all
    waiting: int
