"""A workspace as it was granted to a run, and what is told of it afterwards."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hutch.errors import HutchError


class Mode(StrEnum):
    """How a sandbox has a folder of the host."""

    RO = "ro"
    RW = "rw"  # what is written is there at once; protected paths stay as they are
    REVIEW = "review"  # what is written waits until a person applies it
    WORKTREE = "worktree"  # a checkout of its own; what is written becomes a branch


@dataclass(frozen=True, slots=True)
class GrantedWorkspace:
    """A folder of the host that a run may have."""

    folder: Path
    mode: Mode

    def __str__(self) -> str:
        return f"{self.folder}:{self.mode}"


def read_workspace(text: str) -> GrantedWorkspace:
    """Read "DIR" or "DIR:MODE". Raises HutchError `workspace_denied`."""
    folder, colon, word = text.rpartition(":")
    is_mode = bool(colon) and word in set(Mode)
    path = Path(folder if is_mode else text)
    if not path.is_absolute() or ".." in path.parts or "\0" in text:
        raise HutchError("workspace_denied", f"{str(path)!r} is not an absolute path without '..'")
    return GrantedWorkspace(path, Mode(word) if is_mode else Mode.RO)
