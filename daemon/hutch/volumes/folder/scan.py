"""What changed in a working folder: a walk that looks at every name and reads no content.

The folder is an attacker's: it is walked by descriptors, no link is followed, any depth will do.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from hutch.volumes.folder.beneath import FOLDER_FLAGS, Descent, TreeMovedError, grant, open_beneath
from hutch.volumes.folder.findings import (
    Findings,
    Journal,
    LookWiderError,
    Pending,
    StoppedError,
    kept,
    now_trusted_before,
    put_in_order,
    read_xattrs,
    stat_of,
    within_64_bits,
)
from hutch.volumes.folder.spots import JOURNALS, Spot, spot_in
from hutch.volumes.tree.nodes import File, Folder, Link, Node, Trail, path_of

ShouldStop = Callable[[], bool]
MODE_BITS = 0o1777  # what a volume keeps of a mode
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def scan(
    root: int, known: Folder | None, *, spot: Spot | None = None, should_stop: ShouldStop | None = None
) -> Findings:
    """Compare the folder `root` with what is known of it. `known` itself comes back if nothing differs.

    With a `spot` only there. `should_stop`, given while a run may write, is asked in each folder.

    Raises:
        TreeMovedError: something moved folders about meanwhile.
        LookWiderError: the spot is not enough.
        StoppedError: as asked.
        OSError: the folder cannot be walked.
    """
    findings = Findings(now_trusted_before(), is_live=should_stop is not None)
    try:
        with Descent(root) as descent:
            _Walk(descent, findings, spot, should_stop).run(os.fstat(descent.fd), known)
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


_PLACE = File(0, 0, 0)  # keeps a pending file's place in the order of names


class _Open:
    """A folder on the way."""

    def __init__(
        self,
        trail: Trail | None,
        status: os.stat_result,
        before: Folder | None,
        mode: int,
        spot: Spot | None,
        *,
        was_closed: bool = False,
    ) -> None:
        self.trail = trail
        self.spot = spot  # None: all of it
        self.status = status
        self.before = before
        self.mode = mode
        self.was_closed = was_closed  # putting its mode back will show
        self.known: dict[bytes, Node] = before.children if before else {}
        self.children: dict[bytes, Node] = {}
        self.differs = False
        self.folders: Iterator[tuple[bytes, os.stat_result]] = iter(())


class _Walk:
    def __init__(
        self, descent: Descent, findings: Findings, spot: Spot | None, should_stop: ShouldStop | None
    ) -> None:
        self._should_stop = should_stop
        self._descent = descent
        self._findings = findings
        self._spot = spot
        self._device = 0

    def run(self, status: os.stat_result, known: Folder | None) -> None:
        self._device = status.st_dev
        stack = [_Open(None, status, known, status.st_mode & MODE_BITS, self._spot)]
        self._look(stack[0])
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
        if was_closed and self._findings.is_live:  # a running sandbox may rely on what it closed
            self._unreadable(above, trail, folder)
            return None
        try:
            if was_closed:
                grant(self._descent.fd, name, mode | 0o700)
                self._findings.granted.append((trail, status.st_mode & 0o7777))
            self._descent.down(name, status)
        except PermissionError:
            self._unreadable(above, trail, folder)
            return None
        now = os.fstat(self._descent.fd)
        entered = _Open(
            trail, now, folder, mode, spot_in(above.spot, folder, now.st_ino, name), was_closed=was_closed
        )
        self._look(entered)
        return entered

    def _look(self, here: _Open) -> None:
        """Look at the names of the folder that the descent is in."""
        if self._should_stop and self._should_stop():
            raise StoppedError
        if here.spot is None:
            if self._findings.is_live:
                self._findings.entered.append((here.trail, here.status.st_ino))
            self._list(here)
        else:
            self._look_at(here, here.spot)

    def _list(self, here: _Open) -> None:
        """Look at all names."""
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
            if self._see(here, name, status):
                folders.append((name, status))
        self._findings.stored_bytes += 512 * stored_blocks
        if self._findings.is_live:
            for name in here.known.keys() - here.children.keys():
                self._note_gone(here, name)
        here.folders = iter(folders)

    def _look_at(self, here: _Open, spot: Spot) -> None:
        """Look at some names, and at those that came or went. All others are as they were."""
        assert here.before is not None
        here.children.update(here.known)
        names = spot.names | spot.below.keys()
        if spot.lists or here.before.stat != stat_of(here.status):
            listed = {os.fsencode(name) for name in os.listdir(self._descent.fd)}  # noqa: PTH208 - a descriptor
            for name in here.known.keys() - listed:
                self._gone(here, name)
            names = listed if spot.lists else (names & listed) | (listed - here.known.keys())
        folders = []
        for name in sorted(names):
            try:
                status = os.stat(name, dir_fd=self._descent.fd, follow_symlinks=False)
            except FileNotFoundError:
                self._gone(here, name)
                continue
            if self._see(here, name, status):
                folders.append((name, status))
        if not here.children.keys() <= here.known.keys():
            put_in_order(here.children)
        here.folders = iter(folders)

    def _gone(self, here: _Open, name: bytes) -> None:
        if here.children.pop(name, None) is not None:
            here.differs = True
            self._note_gone(here, name)

    def _note_gone(self, here: _Open, name: bytes) -> None:
        node = here.known[name]
        if name.endswith(JOURNALS) and isinstance(node, File):
            self._findings.gone_journals.append(Journal(here.children, Trail(here.trail, name), node))

    def _see(self, here: _Open, name: bytes, status: os.stat_result) -> bool:
        """Compare one name with what is known of it; whether it is a folder to go into."""
        old = here.known.get(name)
        kind = status.st_mode & 0o170000
        if kind == stat.S_IFREG and type(old) is File and old.stat == stat_of(status):
            here.children[name] = old
            self._note_links(here, name, status)
        elif kind == stat.S_IFDIR and status.st_dev == self._device:
            if not isinstance(old, Folder):
                here.children[name] = Folder(0, 0, (), {})
                return True
            here.children[name] = old
            return here.spot is None or name in here.spot.below or old.stat != stat_of(status)
        else:
            self._look_closer(here, name, status, old)
        return False

    def _note_links(self, here: _Open, name: bytes, status: os.stat_result) -> None:
        if status.st_nlink > 1 and self._spot is None:
            self._findings.links.setdefault(status.st_ino, []).append((here.children, name))

    def _look_closer(self, here: _Open, name: bytes, status: os.stat_result, old: Node | None) -> None:
        trail = Trail(here.trail, name)
        kind = status.st_mode & 0o170000
        if kind in _KINDS or status.st_dev != self._device:
            here.differs |= here.children.pop(name, None) is not None
            self._findings.leave_out(trail, _KINDS.get(kind, "on another file system"))
        elif kind == stat.S_IFLNK:
            self._link(here, name, status, old)
        else:
            here.differs = True
            before = old if isinstance(old, File) else None
            here.children[name] = before or _PLACE
            mode = self._kept_mode(trail, status)
            pending = Pending(here.children, trail, kept(status), before, mode)
            self._findings.pending.append(pending)
            if status.st_nlink > 1 and self._spot is not None:
                raise LookWiderError
            self._note_links(here, name, status)

    def _link(self, here: _Open, name: bytes, status: os.stat_result, old: Node | None) -> None:
        try:
            target = os.fsencode(os.readlink(name, dir_fd=self._descent.fd))
        except OSError:  # gone since, or something else by now
            here.differs |= here.children.pop(name, None) is not None
            return
        node = Link(within_64_bits(status.st_mtime_ns), target)
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
        trusted = stat_now if self._findings.is_live else self._findings.trusted(here.status)
        mtime = within_64_bits(here.status.st_mtime_ns)
        return Folder(here.mode, mtime, xattrs, here.children, None if here.was_closed else trusted)

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
