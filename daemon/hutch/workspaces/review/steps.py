"""Changes as the steps of a transaction, in their order: what goes, then what comes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hutch.workspaces.look import Stamp
from hutch.workspaces.review.changes import Change

Op = Literal["remove", "remove_folder", "make_folder", "put", "set_mode"]


@dataclass(frozen=True, slots=True)
class Step:
    """One path that is changed. `before` is its stamp when the transaction began; None: nothing was there."""

    op: Op
    path: str
    before: Stamp | None
    mode: int = 0
    source: str | None = None  # "put": the file or link that is put there, on this host
    # "put": instead of the source's, in latin-1; of a file of which some hunks are taken
    content: str | None = None

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Step":
        before = stored["before"]
        return cls(**{**stored, "before": None if before is None else tuple(before)})


def steps_for(
    changes: Iterable[Change], stamps: Mapping[str, Stamp | None], contents: Mapping[str, bytes]
) -> list[Step]:
    """Return the steps for some changes; `contents` has those files of which only some hunks are taken."""
    going: list[Step] = []
    folders: list[Step] = []
    coming: list[Step] = []
    modes: list[Step] = []
    for change in changes:
        before, after, path = change.before, change.after, change.path
        stamp = stamps[path]
        if before is not None and (after is None or "folder" in {before.kind, after.kind} - _same(change)):
            going.append(Step("remove_folder" if before.kind == "folder" else "remove", path, stamp))
            stamp = None
        if after is None:
            continue
        if after.kind == "folder":
            is_new = before is None or before.kind != "folder"
            (folders if is_new else modes).append(
                Step("make_folder" if is_new else "set_mode", path, stamp, after.mode)
            )
        else:
            taken = contents.get(path)
            text = None if taken is None else taken.decode("latin-1")
            coming.append(Step("put", path, stamp, after.mode, _text(change.source), text))
    going.sort(key=lambda step: step.path, reverse=True)  # what a folder holds before the folder
    folders.sort(key=lambda step: step.path)
    return [*going, *folders, *coming, *modes]


def _same(change: Change) -> set[str]:
    """A folder that stays one is not removed."""
    is_folder = change.before is not None and change.after is not None
    return {"folder"} if is_folder and change.before.kind == change.after.kind else set()  # type: ignore[union-attr]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
