"""One look over a folder of the host: what is there, what of it is protected, what leads out of it."""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hutch.workspaces.git import is_bare_repository

_DEEPEST = 200  # folders below each other; a path has at most 4096 bytes

# Mode, size, mtime and ctime in ns, inode: changed, one of them changes
Stamp = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Look:
    """Paths are relative, as text; a name that is no text has surrogates in the place of its bytes."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    protected: list[str] = field(default_factory=list)  # with all that is below them
    repositories: list[str] = field(default_factory=list)  # git's folders: ".git", or a bare repository
    pointers: list[str] = field(default_factory=list)  # `.git` files, which say where git's folder is
    special: list[str] = field(default_factory=list)  # sockets, FIFOs and devices: the host answers
    linked_out: list[str] = field(default_factory=list)  # files that have another name outside

    def changes_since(self, before: "Look") -> list[str]:
        """Return "A path", "M path", "D path", by path. A folder counts when it came or went."""
        changed = [
            f"{'M' if path in before.stamps else 'A'} {path}"
            for path, stamp in self.stamps.items()
            if _differs(before.stamps.get(path), stamp)
        ]
        gone = [f"D {path}" for path in before.stamps if path not in self.stamps]
        return sorted(changed + gone, key=lambda line: line[2:])


def look_over(root: Path, names: Collection[str]) -> Look:
    """Look over `root`; `names` are those of protected files and folders, at any depth. Raises OSError."""
    found = Look()
    links: dict[tuple[int, int], list[str]] = {}
    counts: dict[tuple[int, int], int] = {}
    inner = tuple(f"/{name}" for name in names if "/" in name)
    plain = {name for name in names if "/" not in name}
    for path, status in _walk(root, found):
        found.stamps[path] = stamp_of(status)
        name = path.rpartition("/")[2]
        mode = status.st_mode
        if name in plain or f"/{path}".endswith(inner):
            found.protected.append(path)
        elif name == ".git" and not stat.S_ISDIR(mode):
            found.pointers.append(path)
        if stat.S_ISREG(mode) and status.st_nlink > 1:
            links.setdefault((status.st_dev, status.st_ino), []).append(path)
            counts[status.st_dev, status.st_ino] = status.st_nlink
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            found.special.append(path)
    found.linked_out = [path for key, paths in links.items() if len(paths) < counts[key] for path in paths]
    return found


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what changes when the file does."""
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _differs(before: Stamp | None, after: Stamp) -> bool:
    if before is None:
        return True
    if stat.S_ISDIR(after[0]) and stat.S_ISDIR(before[0]):
        return after[0] != before[0]  # what came and went in it is told by itself
    return before != after


def _walk(root: Path, found: Look) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below `root`, folders before what they hold; no link is followed."""
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                listed = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            if not folder:
                raise
            continue  # gone meanwhile, or closed to us and so to the sandbox
        names = {name for name, _ in listed}
        if folder and is_bare_repository(names):
            found.repositories.append(folder)
        elif folder.rpartition("/")[2] == ".git":
            found.protected.append(folder)  # nobody makes a repository of it
        for name, status in sorted(listed):
            path = f"{folder}/{name}" if folder else name
            yield path, status
            if stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
                waiting.append((path, depth + 1))
