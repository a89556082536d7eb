"""Takes files that belong together, or that never keep still, as they were at one instant.

All are looked at, copied, and looked at again; only if nothing of them moved is the copy kept. A database
and what it keeps beside it make sense only together: https://sqlite.org/howtocorrupt.html, section 1.2.
"""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from hutch.volumes.folder.beneath import FILE_FLAGS, FOLDER_FLAGS, open_beneath
from hutch.volumes.folder.findings import RACY_NS, Findings, Pending, kept, put_in_order, stat_of
from hutch.volumes.folder.scan import MODE_BITS
from hutch.volumes.folder.spots import companions, database_of
from hutch.volumes.tree.nodes import File, Node, Trail, path_of

FROZEN_BYTES = 64 << 20  # copied in some 50 ms; a sandbox is not held still for longer
_COPIED_BYTES = 1 << 30  # a larger database waits for the run's last commit
_TRIES = 4
_AGAIN_S = 0.005
_CHUNK_BYTES = 8 << 20
_PLACE = File(0, 0, 0)  # until its content is there


@dataclass(slots=True)
class Group:
    """Names in one folder that are taken together or not at all."""

    children: dict[bytes, Node]
    above: Trail | None
    names: tuple[bytes, ...]
    before: dict[bytes, File | None] = field(default_factory=dict)  # of those that differ; None: new

    size: int = 0  # of what differs

    @property
    def path(self) -> bytes:
        return path_of(Trail(self.above, self.names[0]))

    def keep_before(self) -> None:
        """Leave all of it as it was known."""
        for name, node in self.before.items():
            if node is None:
                self.children.pop(name, None)
            else:
                self.children[name] = node
        put_in_order(self.children)


def groups_of(findings: Findings, restless: Iterable[bytes]) -> list[Group]:
    """The databases that changed, and of the `restless` paths those that changed again."""
    groups: dict[tuple[int, bytes], Group] = {}
    alone = set(restless)
    for pending in findings.pending:
        base = database_of(pending.trail.name)
        names = companions(base)
        if not _has_journal(findings, pending.children, names):
            if pending.status.st_size > FROZEN_BYTES or pending.path not in alone:
                continue
            base, names = pending.trail.name, (pending.trail.name,)
        group = groups.setdefault(
            (id(pending.children), base), Group(pending.children, pending.trail.above, names)
        )
        group.before[pending.trail.name] = pending.before
        group.size += pending.status.st_size
    for gone in findings.gone_journals:
        found = groups.get((id(gone.children), database_of(gone.trail.name)))
        if found:
            found.before[gone.trail.name] = gone.before
    return list(groups.values())


def _has_journal(findings: Findings, children: dict[bytes, Node], names: tuple[bytes, ...]) -> bool:
    _, wal, _, journal = names
    if wal in children or journal in children:
        return True
    return any(gone.children is children and gone.trail.name in names for gone in findings.gone_journals)


def take(root: int, group: Group, scratch: Path, *, is_frozen: bool) -> list[Pending] | None:
    """Copy what changed of a group into files without a name in `scratch`; None: it did not keep still.

    The caller closes the copies. Blocking: for a thread.
    """
    try:
        folder = open_beneath(root, path_of(group.above), FOLDER_FLAGS)
    except OSError:
        return None
    try:
        for _ in range(_TRIES if group.size <= FROZEN_BYTES else 1):
            taken = _take_once(folder, group, scratch, is_frozen=is_frozen)
            if taken is not None:
                return taken
            if is_frozen:
                return None
            time.sleep(_AGAIN_S)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
    finally:
        os.close(folder)
    return None


def _take_once(folder: int, group: Group, scratch: Path, *, is_frozen: bool) -> list[Pending] | None:
    seen = _looks(folder, group.names)
    changed = {name: status for name, status in seen.items() if not _is_known(group, name, status)}
    newest = max((max(s.st_mtime_ns, s.st_ctime_ns) for s in changed.values()), default=0)
    if not is_frozen and newest >= time.time_ns() - RACY_NS:
        return None
    if sum(status.st_size for status in changed.values()) > (FROZEN_BYTES if is_frozen else _COPIED_BYTES):
        return None
    taken: list[Pending] = []
    is_still = False
    try:
        for name, status in changed.items():
            node = group.children.get(name)
            before = group.before.get(name, node if isinstance(node, File) else None)
            copy = _copied(folder, name, status.st_size, scratch)
            trail = Trail(group.above, name)
            taken.append(
                Pending(group.children, trail, kept(status), before, status.st_mode & MODE_BITS, copy)
            )
        now = _looks(folder, group.names)
        is_still = {n: stat_of(s) for n, s in seen.items()} == {n: stat_of(s) for n, s in now.items()}
    finally:
        if not is_still:
            close(taken)
    if not is_still:
        return None
    _place(group, seen)
    return taken


def _place(group: Group, seen: dict[bytes, os.stat_result]) -> None:
    """Make the folder's names those that were seen."""
    for name in group.names:
        if name in seen:
            group.children.setdefault(name, _PLACE)
        elif isinstance(group.children.get(name), File):  # a folder or a link of that name is no journal
            del group.children[name]
    put_in_order(group.children)


def _is_known(group: Group, name: bytes, status: os.stat_result) -> bool:
    node = group.children.get(name)
    return name not in group.before and isinstance(node, File) and node.stat == stat_of(status)


def _looks(folder: int, names: tuple[bytes, ...]) -> dict[bytes, os.stat_result]:
    """What is there, of regular files."""
    found = {}
    for name in names:
        with suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found[name] = status
    return found


def _copied(folder: int, name: bytes, size: int, scratch: Path) -> int:
    source = os.open(name, FILE_FLAGS, dir_fd=folder)
    try:
        with TemporaryFile(dir=scratch, buffering=0) as file:  # also where there is no O_TMPFILE
            target = os.dup(file.fileno())
        try:
            while size > 0 and (sent := os.sendfile(target, source, None, min(size, _CHUNK_BYTES))):
                size -= sent
            for key in os.listxattr(source):
                if key.startswith("user."):
                    os.setxattr(target, key, os.getxattr(source, key))
        except BaseException:
            os.close(target)
            raise
    finally:
        os.close(source)
    return target


def close(taken: Iterable[Pending]) -> None:
    """Let go of copies."""
    for pending in taken:
        if pending.copy is not None:
            os.close(pending.copy)


def split(pending: Iterable[Pending], groups: list[Group]) -> Iterator[Pending]:
    """Those that belong to no group."""
    grouped = {(id(group.children), name) for group in groups for name in group.names}
    for each in pending:
        if (id(each.children), each.trail.name) not in grouped:
            yield each
