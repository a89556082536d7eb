"""What changed in a working folder: a walk that looks at every name and reads no content.

The folder is an attacker's: it is walked by descriptors, no link is followed, any depth will do.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from hutch.volumes.beneath import FOLDER_FLAGS, Descent, TreeMovedError, grant, open_beneath
from hutch.volumes.nodes import File, Folder, Link, Node, Stat, Trail, Xattrs, path_of
from hutch.volumes.records import LeftOut, shown
from hutch.volumes.state import LISTED

MODE_BITS = 0o1777  # what a volume keeps of a mode
RACY_NS = 20_000_000  # the kernel's clock for files ticks every 1-10 ms
_IGNORED_XATTR = "security.selinux"  # the host's label, on every file there
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Pending(NamedTuple):
    """A file whose content is to be read; its node goes into `children`."""

    children: dict[bytes, Node]
    trail: Trail
    status: os.stat_result
    before: File | None
    mode: int

    @property
    def path(self) -> bytes:
        return path_of(self.trail)


@dataclass(slots=True)
class Findings:
    """A scan's outcome. In `tree`, files that are `pending` are still missing or old."""

    trusted_before_ns: int  # a file that changed later may change again without a trace
    tree: Folder | None = None
    pending: list[Pending] = field(default_factory=list)
    links: dict[int, list[tuple[dict[bytes, Node], bytes]]] = field(default_factory=dict)  # by inode
    left_out: list[LeftOut] = field(default_factory=list)
    left_out_count: int = 0
    stored_bytes: int = 0  # what the files take of the disk
    granted: list[tuple[Trail, int]] = field(default_factory=list)  # folders made readable; their modes

    def leave_out(self, trail: Trail | None, reason: str) -> None:
        self.left_out_count += 1
        if len(self.left_out) < LISTED:
            self.left_out.append(LeftOut(shown(path_of(trail))[-1000:], reason))

    def trusted(self, status: os.stat_result) -> Stat | None:
        """What to remember of a file; None where another change might leave no trace (git's racy rule)."""
        if max(status.st_mtime_ns, status.st_ctime_ns) >= self.trusted_before_ns:
            return None
        return stat_of(status)


def stat_of(status: os.stat_result) -> Stat:
    """What a file shows of itself; ctime and inode betray an edit whose size and mtime were put back."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_mode


def now_trusted_before() -> int:
    """The time before which a change shows, if the folder is looked at from now on."""
    return time.time_ns() - RACY_NS


def scan(root: int, known: Folder | None) -> Findings:
    """Compare the folder `root` with what is known of it. `known` itself comes back if nothing differs.

    Raises:
        TreeMovedError: something moved folders about meanwhile.
        OSError: the folder cannot be walked.
    """
    findings = Findings(now_trusted_before())
    try:
        with Descent(root) as descent:
            _Walk(descent, findings).run(os.fstat(descent.fd), known)
    except BaseException:
        put_back_modes(root, findings)
        raise
    return findings


def put_back_modes(root: int, findings: Findings) -> None:
    """Close the folders again that the scan had to open."""
    for trail, mode in reversed(findings.granted):
        with suppress(OSError, TreeMovedError):  # whoever moved it may see to its mode
            folder = open_beneath(root, path_of(trail.above), FOLDER_FLAGS)
            try:
                grant(folder, trail.name, mode)
            finally:
                os.close(folder)


class _Open:
    """A folder on the way."""

    def __init__(
        self,
        trail: Trail | None,
        status: os.stat_result,
        before: Folder | None,
        mode: int,
        *,
        was_closed: bool = False,
    ) -> None:
        self.trail = trail
        self.status = status
        self.before = before
        self.mode = mode
        self.was_closed = was_closed  # putting its mode back will show
        self.known: dict[bytes, Node] = before.children if before else {}
        self.children: dict[bytes, Node] = {}
        self.differs = False
        self.folders: Iterator[tuple[bytes, os.stat_result]] = iter(())


class _Walk:
    def __init__(self, descent: Descent, findings: Findings) -> None:
        self._descent = descent
        self._findings = findings
        self._device = 0

    def run(self, status: os.stat_result, known: Folder | None) -> None:
        self._device = status.st_dev
        stack = [_Open(None, status, known, status.st_mode & MODE_BITS)]
        self._list(stack[0])
        while True:
            here = stack[-1]
            for name, its_status in here.folders:
                entered = self._enter(here, name, its_status)
                if entered:
                    stack.append(entered)
                    break
            else:
                folder = self._closed(stack.pop())
                if not stack:
                    self._findings.tree = folder
                    return
                assert here.trail is not None
                stack[-1].children[here.trail.name] = folder
                stack[-1].differs |= folder is not here.before
                self._descent.up()

    def _enter(self, above: _Open, name: bytes, status: os.stat_result) -> _Open | None:
        trail = Trail(above.trail, name)
        before = above.known.get(name)
        folder = before if isinstance(before, Folder) else None
        mode = self._kept_mode(trail, status)
        # An owner may take its own rights away. They are put back when the files in there were read.
        was_closed = status.st_mode & 0o500 != 0o500 and os.geteuid() != 0
        try:
            if was_closed:
                grant(self._descent.fd, name, mode | 0o700)
                self._findings.granted.append((trail, status.st_mode & 0o7777))
            self._descent.down(name, status)
        except PermissionError:
            self._unreadable(above, trail, folder)
            return None
        entered = _Open(trail, os.fstat(self._descent.fd), folder, mode, was_closed=was_closed)
        self._list(entered)
        return entered

    def _list(self, here: _Open) -> None:
        """Look at all names of the folder that the descent is in."""
        with os.scandir(self._descent.fd) as entries:
            listing = sorted((os.fsencode(entry.name), entry) for entry in entries)
        folders = []
        stored_blocks = 0
        for name, entry in listing:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since
                continue
            stored_blocks += status.st_blocks // (status.st_nlink or 1)  # each name of a hard link comes by
            old = here.known.get(name)
            kind = status.st_mode & 0o170000
            if kind == stat.S_IFREG and type(old) is File and old.stat == stat_of(status):
                here.children[name] = old
                if status.st_nlink > 1:
                    self._findings.links.setdefault(status.st_ino, []).append((here.children, name))
            elif kind == stat.S_IFDIR and status.st_dev == self._device:
                here.children[name] = old if isinstance(old, Folder) else Folder(0, 0, (), {})
                folders.append((name, status))
            else:
                self._look_closer(here, name, status, old)
        self._findings.stored_bytes += 512 * stored_blocks
        here.folders = iter(folders)

    def _look_closer(self, here: _Open, name: bytes, status: os.stat_result, old: Node | None) -> None:
        trail = Trail(here.trail, name)
        kind = status.st_mode & 0o170000
        if kind in _KINDS or status.st_dev != self._device:
            self._findings.leave_out(trail, _KINDS.get(kind, "on another file system"))
        elif kind == stat.S_IFLNK:
            self._link(here, name, status, old)
        else:
            here.differs = True
            before = old if isinstance(old, File) else None
            here.children[name] = before or File(0, 0, 0)  # keeps its place in the order of names
            pending = Pending(here.children, trail, status, before, self._kept_mode(trail, status))
            self._findings.pending.append(pending)
            if status.st_nlink > 1:
                self._findings.links.setdefault(status.st_ino, []).append((here.children, name))

    def _link(self, here: _Open, name: bytes, status: os.stat_result, old: Node | None) -> None:
        try:
            target = os.fsencode(os.readlink(name, dir_fd=self._descent.fd))
        except OSError:  # gone since, or something else by now
            return
        node = Link(status.st_mtime_ns, target)
        here.children[name] = old if isinstance(old, Link) and old == node else node
        here.differs |= here.children[name] is not old

    def _closed(self, here: _Open) -> Folder:
        before = here.before
        stat_now = stat_of(here.status)
        is_described = before is not None and before.stat == stat_now
        if before and is_described and not here.differs and len(here.children) == len(here.known):
            return before
        if before and is_described:
            return before._replace(children=here.children)
        xattrs = read_xattrs(self._descent.fd, here.trail, self._findings)
        trusted = None if here.was_closed else self._findings.trusted(here.status)
        return Folder(here.mode, here.status.st_mtime_ns, xattrs, here.children, trusted)

    def _kept_mode(self, trail: Trail, status: os.stat_result) -> int:
        if status.st_mode & 0o6000:
            self._findings.leave_out(trail, "its setuid or setgid bit")
        return status.st_mode & MODE_BITS

    def _unreadable(self, above: _Open, trail: Trail, before: Folder | None) -> None:
        """Someone else's folder, closed to us: what is known of it stays, as it must not look deleted."""
        self._findings.leave_out(trail, "it cannot be read")
        if before:
            above.children[trail.name] = before
        else:
            del above.children[trail.name]


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
