"""Which places of a working folder are to be looked at, as a tree of names."""

from collections.abc import Iterable

from hutch.volumes.folder.findings import inode_of
from hutch.volumes.tree.nodes import Folder

# A database and what it keeps beside it belong together: https://sqlite.org/tempfiles.html
JOURNALS = (b"-wal", b"-shm", b"-journal")


class Spot:
    """A folder to look at, or one on the way there."""

    __slots__ = ("below", "lists", "names")

    def __init__(self) -> None:
        self.names: set[bytes] = set()  # in it, to be looked at
        self.below: dict[bytes, Spot] = {}
        self.lists = False  # all names in it are to be looked at


def spots_of(paths: Iterable[bytes]) -> Spot:
    """Where to look: `a/b` is the name b in folder a, `a/b/` are all names in a/b, `/` those of the root."""
    top = Spot()
    for path in paths:
        folder, _, name = path.rpartition(b"/")
        spot = top
        for part in folder.split(b"/") if folder else ():
            spot = spot.below.setdefault(part, Spot())
        if name:
            spot.names.update(companions(name))
        elif path:
            spot.lists = True
    return top


def database_of(name: bytes) -> bytes:
    """The file that a journal belongs to; any other name is its own."""
    for suffix in JOURNALS:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def companions(name: bytes) -> tuple[bytes, ...]:
    """All names that belong to one database, or would if it were one."""
    base = database_of(name)
    return (base, *(base + suffix for suffix in JOURNALS))


def spot_in(above: Spot | None, known: Folder | None, inode: int, name: bytes) -> Spot | None:
    """Where to look in a folder below; None: everywhere, as it is new."""
    if above is None or known is None or known.stat is None or inode_of(known.stat) != inode:
        return None
    return above.below.get(name) or Spot()
