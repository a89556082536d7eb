"""Files of two trees side by side: what each is, and whether they are the same."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_CHUNK = 1 << 20  # bytes compared at a time
_MODE = 0o777  # setuid, setgid and sticky bits mean nothing here
_ELSEWHERE = frozenset({"metacopy", "redirect", "whiteout"})
_OURS = "user.overlay."  # the kernel's own marks in an upper folder

EntryKind = Literal["file", "folder", "link", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link as it is."""

    kind: EntryKind
    mode: int
    size: int
    target: str | None = None  # of a link

    @property
    def is_open(self) -> bool:
        """Whether it is a folder that its owner may look into."""
        return self.kind == "folder" and self.mode & 0o500 == 0o500


def entry_at(path: Path) -> Entry | None:
    """Return what is there; None: nothing."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind: EntryKind = "other"
    if stat.S_ISREG(status.st_mode):
        kind = "file"
    elif stat.S_ISDIR(status.st_mode):
        kind = "folder"
    elif stat.S_ISLNK(status.st_mode):
        return Entry("link", 0o777, status.st_size, os.readlink(path))  # noqa: PTH115 - a Path would change the text
    return Entry(kind, status.st_mode & _MODE, status.st_size)


def is_same(one: Path, other: Path, entry: Entry, before: Entry) -> bool:
    """Whether two files are the same to whoever reads them; `entry` and `before` say what they are."""
    if entry.kind != before.kind or entry.mode != before.mode or entry.target != before.target:
        return False
    if entry.kind != "file":
        return True
    return entry.size == before.size and xattrs(one) == xattrs(other) and _same_content(one, other)


def xattrs(file: Path | int) -> dict[str, bytes]:
    """Return the attributes that go with a file: a user's, and no security label or capability."""
    found = {}
    follows = isinstance(file, int)  # a descriptor is the file itself
    with suppress(OSError):
        for name in os.listxattr(file, follow_symlinks=follows):
            if name.startswith("user.") and not name.startswith(_OURS):
                found[name] = os.getxattr(file, name, follow_symlinks=follows)
    return found


def is_opaque(folder: Path) -> bool:
    """Whether a folder of an upper tree hides what is below it."""
    for name in ("user.overlay.opaque", "trusted.overlay.opaque"):
        with suppress(OSError):
            if os.getxattr(folder, name, follow_symlinks=False) == b"y":
                return True
    return False


def is_marked(path: Path) -> bool:
    """Whether something of an upper tree says that it, or its content, is elsewhere: ours never does."""
    with suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return any(name.partition(".overlay.")[2] in _ELSEWHERE for name in names)
    return False


def is_whiteout(path: Path) -> bool:
    """Whether an entry of an upper tree says that there is nothing any more."""
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _same_content(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while data := left.read(_CHUNK):
            if right.read(_CHUNK) != data:
                return False
        return not right.read(1)
