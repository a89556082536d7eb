"""Which changes are applied: all, some paths, some hunks; and what may not be, or not without consent."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hutch.errors import HutchError
from hutch.workspaces.executable import scripts_differ, why_called_out
from hutch.workspaces.look import Stamp
from hutch.workspaces.review.changes import Change
from hutch.workspaces.review.patches import take_hunks
from hutch.workspaces.tree import Tree

_SCRIPTS_BYTES = 4 << 20  # of a package.json
HUNK_BYTES = 16 << 20  # of a file of which some hunks are taken


@dataclass(frozen=True, slots=True)
class Choice:
    """What a caller wants applied."""

    paths: Sequence[str] = ()  # of files, or folders with all in them; none: everything
    skip: Sequence[str] = ()
    hunks: Mapping[str, Collection[int]] = field(default_factory=dict)  # path -> numbers, from 1
    include_executable: bool = False  # a person has looked at what the host would run


def chosen(changes: Sequence[Change], choice: Choice, real: Tree, names: Collection[str]) -> list[Change]:
    """Return the changes that are meant. Raises HutchError `change_unknown`, `change_refused`,
    `change_called_out`.
    """  # noqa: D205 - the codes belong to the sentence
    wanted = [*choice.paths, *choice.hunks]
    for path in (*wanted, *choice.skip):
        if not any(_is_in(change.path, path) for change in changes):
            raise HutchError(
                "change_unknown", f"{path} has not changed", "see what has: hutch diff ID --stat"
            )
    picked = [
        change
        for change in changes
        if (not wanted or any(_is_in(change.path, path) for path in wanted))
        and not any(_is_in(change.path, path) for path in choice.skip)
    ]
    picked = _with_folders(changes, picked)
    for change in picked:
        if change.refused:
            raise HutchError(
                "change_refused",
                f"{change.path} is {change.refused}",
                f"leave it out: --skip {change.path!r}",
            )
    called = [change.path for change in picked if called_out(change, real, names)]
    if called and not choice.include_executable:
        raise HutchError(
            "change_called_out",
            f"this machine would run, or obey, what is in {', '.join(called[:5])}"
            + (f" and {len(called) - 5} more" if len(called) > 5 else ""),
            f"look at it, then say --include-executable, or leave it out: --skip {called[0]!r}",
        )
    return picked


def called_out(change: Change, real: Tree, names: Collection[str]) -> str:
    """Why a change needs a person's consent; what goes can run nothing."""
    if change.after is None or change.after.kind == "folder":
        return ""
    if why := why_called_out(change.path, names):
        return why
    if change.path.rpartition("/")[2] == "package.json" and change.source is not None:
        try:
            after = change.source.read_bytes() if change.after.size <= _SCRIPTS_BYTES else b""
            before = real.read(change.path, _SCRIPTS_BYTES) if change.before else None
        except OSError:
            return "its scripts cannot be read"
        return "installing runs its scripts" if scripts_differ(before, after) else ""
    return ""


def conflicts(change: Change, base: Mapping[str, Stamp], real: Tree) -> bool:
    """Whether the real file is another than the one that the sandbox saw."""
    now, then = real.stamp(change.path), base.get(change.path)
    if change.before is not None and change.before.kind == "folder":
        return now is None or then is None or now[0] != then[0]
    return now != then


def contents_of(picked: Sequence[Change], choice: Choice, real: Tree) -> dict[str, bytes]:
    """Return the content of each file of which some hunks are wanted. Raises HutchError `change_unknown`."""
    found = {}
    for path, numbers in choice.hunks.items():
        change = next((each for each in picked if each.path == path), None)
        before = change.before if change else None
        after = change.after if change else None
        if change is None or change.source is None or (after and after.kind != "file"):
            raise HutchError("change_unknown", f"{path} has no hunks", "leave out the :N")
        old = real.read(path, HUNK_BYTES) if before is not None and before.kind == "file" else b""
        taken = take_hunks(old, change.source.read_bytes()[:HUNK_BYTES], numbers)
        if taken is None:
            raise HutchError(
                "change_unknown",
                f"{path} has no hunk {', '.join(map(str, sorted(numbers)))}",
                f"they are counted from 1: hutch diff ID {path}",
            )
        found[path] = taken
    return found


def _with_folders(changes: Sequence[Change], picked: list[Change]) -> list[Change]:
    """Add the new folders that hold what comes; keep the folders that hold what stays."""
    come = {change.path for change in picked if change.after is not None}
    needed = {above for path in come for above in _above(path)}
    chosen_paths = {change.path for change in picked}
    stay = {change.path for change in changes} - chosen_paths
    kept = {above for path in stay for above in _above(path)}
    return [
        change
        for change in changes
        if (change.path in chosen_paths and not (change.after is None and change.path in kept))
        or (change.path in needed and change.after is not None)
    ]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _is_in(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")
