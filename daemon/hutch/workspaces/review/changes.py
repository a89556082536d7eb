"""What differs between a folder of the host and what a sandbox made of it. Reads only; follows no link."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from hutch.workspaces.look import Stamp, stamp_of
from hutch.workspaces.review.entries import Entry, entry_at, is_marked, is_opaque, is_same, is_whiteout


@dataclass(frozen=True, slots=True)
class Change:
    """One path that would change; of a folder that goes, each thing in it is one."""

    path: str  # relative; bytes that are no text are surrogates
    before: Entry | None  # in the real folder, as it is now
    after: Entry | None
    source: Path | None  # where `after` is on this host

    @property
    def kind(self) -> Literal["A", "M", "D"]:
        return "A" if self.before is None else "D" if self.after is None else "M"

    @property
    def refused(self) -> str:
        """Why it is never applied; empty: it may be."""
        if self.source is not None and is_marked(self.source):
            return "what an overlay only refers to"
        if self.after is None or self.after.kind == "file" or self.after.is_open:
            return ""
        if self.after.kind == "folder":
            return "a folder that its owner may not enter"
        if self.after.kind == "other":
            return "a socket, a FIFO or a device"
        return "a link that leads out of the folder" if _leads_out(self.path, self.after.target or "") else ""


def overlay_changes(real: Path, upper: Path, path: str = "", *, hides: bool = False) -> Iterator[Change]:
    """Yield the changes of an overlay's upper folder, folders before what they hold.

    Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
    """
    hides = hides or is_opaque(upper / path)
    names = sorted(entry.name for entry in os.scandir(upper / path))
    for name in names:
        inner = f"{path}/{name}" if path else name
        if is_whiteout(upper / inner):
            yield from _deletions(real, inner)
            continue
        before, after = entry_at(real / inner), entry_at(upper / inner)
        assert after is not None
        yield from _between(real, inner, before, after, upper / inner)
        if after.is_open:
            yield from overlay_changes(real, upper, inner, hides=hides)
    if hides:
        for name in _names(real / path) - set(names):
            yield from _deletions(real, f"{path}/{name}" if path else name)


def copy_changes(real: Path, copy: Path, copied: Mapping[str, Stamp], path: str = "") -> Iterator[Change]:
    """Yield the changes of a copy whose files, when it was made, had the stamps `copied`."""
    names = _names(copy / path)
    for name in sorted(names):
        inner = f"{path}/{name}" if path else name
        after = entry_at(copy / inner)
        assert after is not None
        before = entry_at(real / inner)
        is_as_copied = copied.get(inner) == stamp_of((copy / inner).lstat())
        within = list(copy_changes(real, copy, copied, inner)) if after.is_open else []
        has_gone = before is None and is_as_copied and not within  # the host took it away, not the sandbox
        if not has_gone and (after.kind == "folder" or not is_as_copied):
            yield from _between(real, inner, before, after, copy / inner)
        yield from within
    for name in sorted(_names(real / path) - names):
        inner = f"{path}/{name}" if path else name
        if inner in copied:
            yield from _deletions(real, inner)


def _between(real: Path, path: str, before: Entry | None, after: Entry, source: Path) -> Iterator[Change]:
    if before is not None and is_same(source, real / path, after, before):
        return
    yield Change(path, before, after, source)
    if before is not None and before.kind == "folder" and after.kind != "folder":
        yield from (each for each in _deletions(real, path) if each.path != path)


def _deletions(real: Path, path: str) -> Iterator[Change]:
    before = entry_at(real / path)
    if before is None:
        return
    yield Change(path, before, None, None)
    if before.kind == "folder":
        for name in sorted(_names(real / path)):
            yield from _deletions(real, f"{path}/{name}")


def _names(folder: Path) -> set[str]:
    if folder.is_symlink() or not folder.is_dir():
        return set()
    try:
        return {entry.name for entry in os.scandir(folder)}
    except PermissionError:
        return set()  # closed to us, and so to the sandbox


def _leads_out(path: str, target: str) -> bool:
    joined = PurePosixPath(os.path.normpath(PurePosixPath(path).parent / target))
    return target.startswith("/") or joined.parts[:1] == ("..",)
