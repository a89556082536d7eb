"""Where control groups can be made on this host: version 2 where a subtree is ours, else 1."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hutch_launchers.spec import Guarantee

CONTROLLERS: Mapping[Guarantee, str] = {
    Guarantee.MEMORY: "memory",
    Guarantee.PIDS: "pids",
    Guarantee.CPU: "cpu",
}
FREEZER = "freezer"  # a controller of its own in version 1; in version 2 every group can be frozen

MOUNT = Path("/sys/fs/cgroup")
_FOLDER = "hutch"
_LEAF = "daemon"  # for our own processes, those of other lives of ours among them


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where groups can be made on this host, and for what."""

    version: int
    roots: Mapping[str, Path]  # controller -> the folder in which groups are made
    homes: Mapping[str, Path]  # version 1: controller -> the group that this process is in

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self.roots.values()))


@cache
def find_hierarchy() -> Hierarchy | None:
    """Where this process may make groups; None: nowhere. Asked once: it may move this process to a leaf."""
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    for find in (find_v2, find_v1):
        with suppress(OSError):
            if found := find(own):
                return found
    return None


def find_v2(own: str, mount: Path = MOUNT) -> Hierarchy | None:
    """The nearest group at or above our own in which groups with controllers can be made."""
    path = next((line[4:] for line in own.splitlines() if line.startswith("0::/")), None)
    if path is None or not (mount / "cgroup.controllers").exists():
        return None
    start = mount / path
    for group in (start.parent, *start.parents) if start.name == _LEAF else (start, *start.parents):
        # without this right no process may be moved between here and below, so above it is pointless too
        if not group.is_relative_to(mount) or not os.access(group / "cgroup.procs", os.W_OK):
            return None
        if names := _enable(group):
            folder = group / _FOLDER
            folder.mkdir(exist_ok=True)
            _subtree(folder, names)
            return Hierarchy(2, dict.fromkeys(names, folder), {})
    return None


def _enable(group: Path) -> list[str]:
    """The controllers that children of `group` have, after asking for those that we use."""
    wanted = [name for name in CONTROLLERS.values() if name in words_of(group / "cgroup.controllers")]
    if missing := [name for name in wanted if name not in words_of(group / "cgroup.subtree_control")]:
        with suppress(OSError):
            if words_of(group / "cgroup.procs") == [str(os.getpid())]:
                # only a group without processes hands controllers down: this is a service's own
                leaf = group / _LEAF
                leaf.mkdir(exist_ok=True)
                (leaf / "cgroup.procs").write_text("0", encoding="ascii")
            _subtree(group, missing)
    enabled = words_of(group / "cgroup.subtree_control")
    return [name for name in wanted if name in enabled]


def _subtree(group: Path, names: list[str]) -> None:
    for name in names:
        (group / "cgroup.subtree_control").write_text(f"+{name}", encoding="ascii")


def find_v1(own: str, mount: Path = MOUNT) -> Hierarchy | None:
    """A folder for each controller of its own hierarchy, at its top: only root may make one there."""
    homes = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            if name in (*CONTROLLERS.values(), FREEZER):
                homes[name] = mount / name / path.lstrip("/")
    roots = {}
    for name in homes:
        folder = mount / name / _FOLDER
        if os.access(mount / name, os.W_OK):
            folder.mkdir(exist_ok=True)
            roots[name] = folder
    return Hierarchy(1, roots, homes) if roots else None


def words_of(path: Path) -> list[str]:
    """The words of a file of the kernel's."""
    return path.read_text(encoding="ascii").split()
