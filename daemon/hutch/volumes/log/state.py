"""A volume as of one entry, and what a commit makes of it. Pure: nothing here talks to a store."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple

from hutch.volumes.failures import DamagedError
from hutch.volumes.log.codec import (
    Header,
    Opened,
    read_packs,
)
from hutch.volumes.names import Identity, VolumeName
from hutch.volumes.records import ChangeKind, LeftOut, shown
from hutch.volumes.tree.node_lines import Line, node_line, nodes_of
from hutch.volumes.tree.nodes import EMPTY, SAME, File, Folder, Trail, count, path_of, walk
from hutch.volumes.tree.packs import Pack
from hutch.volumes.tree.patches import Difference, applied, difference, differs

LISTED = 50  # changes, and things left out, that an entry names
_LISTED_PATH_BYTES = 4096  # a longer path is counted and not named
_CHECKPOINT_ENTRIES = 64  # invariant 15
_CHECKPOINT_BYTES = 1 << 20


class Reference(NamedTuple):
    """An entry or checkpoint by its number and hash."""

    number: int
    hash: str


class ForkPoint(NamedTuple):
    """The snapshot of another volume on which a fork begins."""

    volume: Identity
    number: int
    hash: str

    @classmethod
    def read(cls, told: Header) -> "ForkPoint":
        """The opposite of `told`. Raises HutchError, KeyError, TypeError."""
        return cls(Identity.parse(told["volume"]), told["number"], told["hash"])

    def told(self) -> Header:
        """As headers and leases tell it."""
        return {"volume": self.volume.path, "number": self.number, "hash": self.hash}


class Hints(NamedTuple):
    """What a lease tells readers: an entry that exists, and a checkpoint that did. None: nothing is known."""

    head: Reference | None = None
    checkpoint: Reference | None = None


NO_HINTS = Hints()


@dataclass(frozen=True, slots=True)
class State:
    """The tree of one entry, and all that the next one needs.

    Number 0: nothing was committed yet; a fork's tree is then its parent's.
    """

    name: VolumeName
    id: str
    number: int = 0
    hash: str | None = None  # of the entry
    token: int = 0
    tree: Folder = EMPTY
    packs: dict[int, Pack] = field(default_factory=dict, repr=False)
    next_pack: int = 1
    next_inode: int = 1
    files: int = 0
    bytes: int = 0
    checkpoint: Reference | None = None
    checkpoint_bytes: int = 0
    bytes_since: int = 0
    fork: ForkPoint | None = None  # where the volume began

    @property
    def identity(self) -> Identity:
        """Which volume it is of."""
        return Identity(self.name, self.id)

    @property
    def reference(self) -> Reference:
        """Its entry; there must be one."""
        assert self.hash is not None
        return Reference(self.number, self.hash)

    @property
    def wants_checkpoint(self) -> bool:
        since = self.number - (self.checkpoint.number if self.checkpoint else 1)
        return since >= _CHECKPOINT_ENTRIES or self.bytes_since > max(
            _CHECKPOINT_BYTES, self.checkpoint_bytes
        )

    def pack(self, number: int) -> Pack:
        """Raises DamagedError: a node names a pack that no entry brought."""
        if number not in self.packs:
            raise DamagedError(
                f"snapshot {self.number} of volume '{self.name}'", f"pack {number} is not told"
            )
        return self.packs[number]


@dataclass(frozen=True, slots=True)
class Patch:
    """What turns one tree into the next, and how the counts of files, bytes and changes come out."""

    old: Folder
    new: Folder
    files: int
    size: int
    changes: int
    changed: tuple[tuple[ChangeKind, bytes], ...]

    @property
    def is_empty(self) -> bool:
        return not differs(self.old, self.new)

    def lines(self) -> Iterator[bytes]:
        """The lines of its entry."""
        return (node_line(step.depth, step.name, step.new) for step in difference(self.old, self.new))


def patch(state: State, tree: Folder) -> Patch:
    """What the next entry says."""
    changed: list[tuple[ChangeKind, bytes]] = []
    files, size, changes = state.files, state.bytes, 0
    for step in difference(state.tree, tree):
        if not (isinstance(step.new, Folder) and isinstance(step.old, Folder)):
            new = (0, 0) if isinstance(step.new, Folder) else count(step.new)
            old = count(step.old)
            files, size = files + new[0] - old[0], size + new[1] - old[1]
        kind = _kind_of(step)
        if kind is not None:
            changes += 1
            path = _listed_path(step.trail) if len(changed) < LISTED else None
            if path is not None:
                changed.append((kind, path))
    return Patch(state.tree, tree, files, size, changes, tuple(changed))


def _kind_of(step: Difference) -> ChangeKind | None:
    """None: a folder of which only the time differs, which follows from what is in it."""
    if step.new is SAME:
        return None
    if step.old is None:
        return "A" if step.trail else None
    if step.new is None:
        return "D"
    if isinstance(step.new, Folder) and isinstance(step.old, Folder):
        return None if (step.new.mode, step.new.xattrs) == (step.old.mode, step.old.xattrs) else "M"
    return "M"


def _listed_path(trail: Trail | None) -> bytes | None:
    length, at = 0, trail
    while at is not None and length <= _LISTED_PATH_BYTES:
        length, at = length + len(at.name) + 1, at.above
    return path_of(trail) if length <= _LISTED_PATH_BYTES else None


@dataclass(frozen=True, slots=True)
class Commit:
    """What a writer adds to a volume in one entry."""

    token: int
    nonce: str
    run: str
    created_at: datetime
    began_s: float  # on the monotonic clock, before its first pack was put
    tree: Folder
    packs: tuple[Pack, ...] = ()
    inline: bytes = b""
    next_inode: int = 1
    left_out: tuple[LeftOut, ...] = ()
    left_out_count: int = 0
    kind: Literal["commit", "fence"] = "commit"
    while_running: bool = False  # by a run that goes on: retention may let it go for a later one


def advanced(state: State, entry: Opened, size: int) -> State:
    """The state after one more entry, read from the store. Raises DamagedError."""
    header = entry.header
    where = f"entry {state.number + 1} of volume '{state.name}'"
    told = (header.get("volume"), header.get("number"), header.get("parent"))
    if told != (state.id, state.number + 1, state.hash):
        raise DamagedError(where, "it does not follow the entry before it")
    if header["token"] < state.token:
        raise DamagedError(where, "its token is lower than that of the entry before it")  # invariant 3
    inodes = [state.next_inode - 1]
    try:
        tree = applied(state.tree, _noting_inodes(entry, where, inodes)) if entry.lines else state.tree
    except ValueError as error:
        raise DamagedError(where, str(error)) from error
    packs = read_packs(header["packs"], where)
    told_of = header["checkpoint"]
    if told_of and told_of["number"] > (state.checkpoint.number if state.checkpoint else 0):
        state = replace(state, checkpoint=Reference(**told_of), bytes_since=0)
    return replace(
        state,
        number=state.number + 1,
        hash=entry.hash,
        token=header["token"],
        tree=tree,
        packs=state.packs | {pack.number: pack for pack in packs},
        next_pack=max([state.next_pack, *(pack.number + 1 for pack in packs)]),
        next_inode=max(inodes) + 1,
        files=header["files"],
        bytes=header["bytes"],
        checkpoint_bytes=state.checkpoint_bytes or size,
        bytes_since=state.bytes_since + (size if state.number else 0),
    )


def _noting_inodes(entry: Opened, where: str, inodes: list[int]) -> Iterator[Line]:
    for line in nodes_of(entry.lines, where):
        if isinstance(line[2], File) and line[2].inode:
            inodes.append(line[2].inode)
        yield line


def restored_checkpoint(before: State, checkpoint: Opened, size: int) -> State:
    """The state that a checkpoint of the same volume as `before` tells. Raises DamagedError."""
    header = checkpoint.header
    where = f"checkpoint {header.get('number')} of volume '{before.name}'"
    if header.get("volume") != before.id or header.get("kind") != "full":
        raise DamagedError(where, "it is of another volume, or of a kind that this program does not know")
    try:
        tree = applied(None, nodes_of(checkpoint.lines, where))
    except ValueError as error:
        raise DamagedError(where, str(error)) from error
    return State(
        name=before.name,
        id=before.id,
        number=header["number"],
        hash=header["entry"],
        token=header["token"],
        tree=tree,
        packs={pack.number: pack for pack in read_packs(header["packs"], where)},
        next_pack=header["next_pack"],
        next_inode=header["next_inode"],
        files=header["files"],
        bytes=header["bytes"],
        checkpoint=Reference(header["number"], checkpoint.hash),
        checkpoint_bytes=size,
        fork=before.fork,
    )


def packs_in_use(state: State) -> dict[int, Pack]:
    """The packs that files of the tree name; others only matter to older snapshots."""
    used: set[int] = set()
    for _, _, node in walk(state.tree):
        if isinstance(node, File):
            used |= packs_of(node)
    return {number: pack for number, pack in state.packs.items() if number in used}


def packs_needed(state: State) -> dict[int, Pack]:
    """The packs that the tree cannot be read without. Raises DamagedError where one is not known."""
    used = packs_in_use(state)
    for _, trail, node in walk(state.tree):
        if isinstance(node, File) and not packs_of(node) <= used.keys():
            where = f"snapshot {state.number} of volume '{state.name}'"
            raise DamagedError(where, f"a pack of '/{shown(path_of(trail))}' is not told")
    return used


def packs_of(node: File) -> set[int]:
    """The packs that a file's content lies in."""
    packs = {run[0] for run in node.blocks}
    return packs | {node.at[0]} if node.at else packs
