"""What a look at a working folder found: its tree, and the files whose content is still to be read."""

import os
import struct
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct

from hutch.volumes.log.state import LISTED
from hutch.volumes.records import LeftOut, shown
from hutch.volumes.tree.nodes import File, Folder, Node, Stat, Trail, Xattrs, path_of

_MOST_NS = 2**63 - 1
RACY_NS = 20_000_000  # the kernel's clock for files ticks every 1-10 ms
_pack_stat = struct.Struct("<qqqQI").pack  # size, mtime, ctime, inode, mode
_inode_of = struct.Struct("<24xQ4x").unpack
_IGNORED_XATTR = "security.selinux"  # the host's label, on every file there


class LookWiderError(Exception):
    """What changed has names elsewhere, so all of the folder must be looked at."""


class StoppedError(Exception):
    """It was not to be looked at any longer."""


class Status(Struct, frozen=True, gc=False):
    """What is kept of a stat: a tenth of it, as there may be a million."""

    st_mode: int
    st_ino: int
    st_nlink: int
    st_size: int
    st_blocks: int
    st_mtime_ns: int
    st_ctime_ns: int


def kept(status: os.stat_result) -> Status:
    """A stat to hold on to."""
    return Status(
        status.st_mode,
        status.st_ino,
        status.st_nlink,
        status.st_size,
        status.st_blocks,
        within_64_bits(status.st_mtime_ns),
        within_64_bits(status.st_ctime_ns),
    )


class Pending(NamedTuple):
    """A file whose content is to be read; its node goes into `children`."""

    children: dict[bytes, Node]
    trail: Trail
    status: Status
    before: File | None
    mode: int
    copy: int | None = None  # a descriptor of a copy that stands still, to be read in its place

    @property
    def path(self) -> bytes:
        return path_of(self.trail)

    def keep_before(self, *, read_again: bool) -> None:
        """Leave the file as it was known; unless it shall be read again, it is so when it differs."""
        if self.before is None:
            self.children.pop(self.trail.name, None)
        else:
            self.children[self.trail.name] = self.before._replace(stat=None) if read_again else self.before


class Journal(NamedTuple):
    """A name that has gone, of a file that a database kept beside it."""

    children: dict[bytes, Node]
    trail: Trail
    before: File


@dataclass(slots=True)
class Findings:
    """A scan's outcome. In `tree`, files that are `pending` are still missing or old."""

    trusted_before_ns: int  # a file that changed later may change again without a trace
    is_live: bool = False  # a run writes: of a file that only grows, what it held a moment ago is taken
    tree: Folder | None = None
    pending: list[Pending] = field(default_factory=list)
    links: dict[int, list[tuple[dict[bytes, Node], bytes]]] = field(default_factory=dict)  # by inode
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0
    stored_bytes: int = 0  # what the files take of the disk; of a whole scan only
    granted: list[tuple[Trail, int]] = field(default_factory=list)  # folders made readable; their modes
    unsteady: list[bytes] = field(default_factory=list)  # paths that did not keep still
    entered: list[tuple[Trail | None, int]] = field(default_factory=list)  # folders, with their inodes
    gone_journals: list[Journal] = field(default_factory=list)

    def leave_out(self, trail: Trail | None, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < LISTED:
            self.left_out.append(LeftOut(shown(path_of(trail))[-1000:], reason))

    def trusted(self, status: os.stat_result | Status) -> Stat | None:
        """What to remember of a file; None where another change might leave no trace (git's racy rule)."""
        if max(status.st_mtime_ns, status.st_ctime_ns) >= self.trusted_before_ns:
            return None
        return stat_of(status)


def stat_of(status: os.stat_result | Status) -> Stat:
    """What a file shows of itself; ctime and inode betray an edit whose size and mtime were put back."""
    mtime, ctime = within_64_bits(status.st_mtime_ns), within_64_bits(status.st_ctime_ns)
    return _pack_stat(status.st_size, mtime, ctime, status.st_ino, status.st_mode)


def within_64_bits(time_ns: int) -> int:
    """A file's time as a volume keeps it: a file system may hold years before 1678 and after 2262."""
    return max(-_MOST_NS, min(time_ns, _MOST_NS))


def inode_of(stat: Stat) -> int:
    """The inode among what a file showed."""
    (inode,) = _inode_of(stat)
    return int(inode)


def put_in_order(children: dict[bytes, Node]) -> None:
    """Sort a folder's names. It stays the same object: what is pending goes into it."""
    ordered = sorted(children.items())
    children.clear()
    children.update(ordered)


def now_trusted_before() -> int:
    """The time before which a change shows, if the folder is looked at from now on."""
    return time.time_ns() - RACY_NS


def read_xattrs(fd: int, trail: Trail | None, findings: Findings) -> Xattrs:
    """The attributes that a volume keeps; others are told as left out."""
    try:
        names = os.listxattr(fd)
    except OSError:  # the file system has none
        return ()
    kept = []
    for name in names:
        if name.startswith("user."):
            kept.append((os.fsencode(name), os.getxattr(fd, name)))
        elif name != _IGNORED_XATTR:
            findings.leave_out(trail, f"its attribute {shown(os.fsencode(name))}")
    return tuple(sorted(kept))
