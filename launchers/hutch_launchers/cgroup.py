"""Control groups for one run: made, filled, read, removed. Where they can be made: `hierarchy`.

A group is named for its run, so that a later daemon finds it: `<root>/hutch/<run_id>`.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from anyio import CancelScope, to_thread

from hutch_launchers.freezer import Switch, find_switch, thaw
from hutch_launchers.hierarchy import FREEZER, Hierarchy, find_hierarchy, words_of
from hutch_launchers.spawner import PLAIN, Spawner
from hutch_launchers.spec import Limits

T = TypeVar("T")

FRONT_PROCESSES = 2  # of a sandbox, besides the command's own: bwrap outside and its init inside

_PERIOD_US = 100_000
_ASK_AGAIN_S = 0.002
_REMOVAL_S = 10.0  # an ended process leaves its group a moment after its end is seen, on a busy host later
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one run; in version 1 one folder a controller."""

    hierarchy: Hierarchy
    folders: Mapping[str, Path]

    def spawn(self, start: Callable[[], T], spawner: Spawner | None = None) -> T:
        """Run `start` so that what it starts is born in the group, where that can be done (version 1)."""
        if self.hierarchy.version == 1:
            homes = self.hierarchy.homes
            groups = {folder: homes[name] for name, folder in self.folders.items()}
            return (spawner or PLAIN).run(start, groups)
        return spawner.run(start) if spawner else start()

    def add(self, pid: int) -> None:
        """Move a held process into the group, where `spawn` could not (version 2)."""
        if self.hierarchy.version == 2:
            for folder in set(self.folders.values()):
                (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for memory so far."""
        return self._count(
            "memory", "memory.events" if self.hierarchy.version == 2 else "memory.oom_control", "oom_kill"
        )

    def refused_forks(self) -> int:
        """How many processes and threads the kernel has refused it so far."""
        return self._count("pids", "pids.events", "max")

    def _count(self, controller: str, file: str, key: str) -> int:
        folder = self.folders.get(controller)
        for line in _read(f"{folder}/{file}").splitlines() if folder else ():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
        return 0

    @property
    def freezer(self) -> Switch | None:
        """How to freeze all in it; None: this host gives no way."""
        folders = self.folders
        folder = folders.get(FREEZER) if self.hierarchy.version == 1 else next(iter(folders.values()), None)
        return find_switch(folder) if folder else None

    def kill(self) -> bool:
        """SIGKILL to all in it but us; whether there was something.

        In version 1 a thread of ours that started it may still be on its way out, though it was waited for.
        """
        found, own = False, str(os.getpid())
        for folder in set(self.folders.values()):
            thaw(folder)
            with suppress(OSError):
                for pid in words_of(folder / "cgroup.procs"):
                    if pid != own:
                        found = True
                        os.kill(int(pid), signal.SIGKILL)
        return found

    async def remove(self) -> None:
        """End what is left in the group and remove it; what stays beyond a bound is logged, for `reap`."""
        if not all(_rmdir(folder) for folder in set(self.folders.values())):
            with CancelScope(shield=True):
                await to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        deadline = time.monotonic() + _REMOVAL_S
        for folder in set(self.folders.values()):
            while not _rmdir(folder):
                self.kill()
                if time.monotonic() > deadline:
                    _log.warning("control group %s cannot be removed", folder)
                    break
                time.sleep(_ASK_AGAIN_S)


def make_group(
    hierarchy: Hierarchy, run_id: str, limits: Limits, front_processes: int = FRONT_PROCESSES
) -> Group | None:
    """Make the run's group with those of its limits that the hierarchy can hold; None: it can hold none.

    `front_processes` are in it besides the command's own.

    Raises OSError; nothing is left then.
    """
    if limits.pids is not None:
        limits = replace(limits, pids=limits.pids + front_processes)
    wanted = {*_limited(limits), FREEZER}
    folders = {name: root / run_id for name, root in hierarchy.roots.items() if name in wanted}
    made: list[Path] = []
    try:
        for folder in dict.fromkeys(folders.values()):  # version 2: one for all controllers
            folder.mkdir()  # one that is there already belongs to a run that lives, or is to be reaped
            made.append(folder)
        write_limits(Group(hierarchy, folders), limits)
    except OSError:
        for folder in made:
            _rmdir(folder)
        raise
    return Group(hierarchy, folders) if folders else None


def write_limits(group: Group, limits: Limits) -> None:
    """Write those limits that are set. Raises OSError."""
    for name in _limited(limits):
        if folder := group.folders.get(name):
            for file, value in _SETTINGS[group.hierarchy.version](name, limits).items():
                _write(f"{folder}/{file}", value)


def _limited(limits: Limits) -> list[str]:
    """The controllers of the limits that are set."""
    asked = {"memory": limits.memory_bytes, "pids": limits.pids, "cpu": limits.cpus}
    return [name for name, limit in asked.items() if limit is not None]


_OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes")  # absent where swap is not accounted for


def _settings_v2(name: str, limits: Limits) -> dict[str, str]:
    if name == "memory":
        return {"memory.max": str(limits.memory_bytes), "memory.swap.max": "0"}
    if name == "pids":
        return {"pids.max": str(limits.pids)}
    return {"cpu.max": f"{_quota_us(limits)} {_PERIOD_US}"}


def _settings_v1(name: str, limits: Limits) -> dict[str, str]:
    if name == "memory":
        memory = str(limits.memory_bytes)
        return {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
    if name == "pids":
        return {"pids.max": str(limits.pids)}
    return {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(_quota_us(limits))}


_SETTINGS = {1: _settings_v1, 2: _settings_v2}


def _quota_us(limits: Limits) -> int:
    return max(1000, int((limits.cpus or 0) * _PERIOD_US))  # the kernel takes no less than 1 ms


def _write(path: str, value: str) -> None:
    if not path.endswith(_OPTIONAL) or os.path.exists(path):  # noqa: PTH110 - a Path costs more
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123
            file.write(value.encode())


def _rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs more than the reading
        return file.read().decode("ascii")


def thaw_group(run_id: str) -> None:
    """Let a run go on that a dead daemon left frozen: it is to be killed, and would not die."""
    for folder in _folders_of(run_id):
        thaw(folder)


def _folders_of(run_id: str) -> list[Path]:
    hierarchy = find_hierarchy()
    return [f / run_id for f in hierarchy.folders if (f / run_id).is_dir()] if hierarchy else []


async def reap_group(run_id: str) -> bool:
    """Kill what is in a run's group and remove it. Returns whether there was one."""
    hierarchy, folders = find_hierarchy(), _folders_of(run_id)
    if not folders or hierarchy is None:
        return False
    await Group(hierarchy, {str(folder): folder for folder in folders}).remove()
    return True
