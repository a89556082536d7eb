"""The control group that a container engine made: found by a process in it, given limits, read, frozen."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hutch_launchers.cgroup import Group, write_limits
from hutch_launchers.freezer import Freezer, thaw
from hutch_launchers.hierarchy import CONTROLLERS, MOUNT, Hierarchy
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import ExitStatus, Limits
from hutch_launchers.strikes import NONE, PrivateSpace, Strikes, marked

_FREEZER = "freezer"


class ForeignGroup:
    """Holds a sandbox to its limits in a group of somebody else's, who also removes it."""

    def __init__(self, pid: int, name: str) -> None:
        """`pid`: a process in it. `name`: what must be in its path, so that it is no group of others."""
        self._group = _find(pid, name)
        self._seen = NONE
        self.space = PrivateSpace()
        switch = self._group.freezer if self._group else None
        self.freezer = Freezer(switch if switch and os.access(switch.control, os.W_OK) else None)

    @property
    def is_there(self) -> bool:
        return self._group is not None

    def limit(self, limits: Limits, processes: int) -> None:
        """Write the limits into it; `processes` are there besides. Raises LauncherError `sandbox_failed`."""
        if self._group is None:
            return
        try:
            pids = None if limits.pids is None else limits.pids + processes
            write_limits(self._group, replace(limits, pids=pids))
        except OSError as error:
            raise LauncherError(
                "sandbox_failed", f"the container's limits cannot be set: {error}", "see: hutch doctor"
            ) from error

    def thaw(self) -> None:
        """Let it go on, should it be frozen: not even SIGKILL reaches what is."""
        for folder in set(self._group.folders.values()) if self._group else ():
            thaw(folder)

    def strikes(self) -> Strikes:
        """How often its limits have struck so far."""
        with suppress(OSError):  # it ends with its last process
            if self._group:
                self._seen = Strikes(self._group.oom_kills(), self._group.refused_forks())
        return self._seen

    def mark(self, status: ExitStatus, before: Strikes = NONE) -> ExitStatus:
        """Return the status with the limit that has struck since, if that ended it."""
        return marked(status, self.strikes().since(before), is_full=self.space.is_full)


def _find(pid: int, name: str) -> Group | None:
    folders: dict[str, Path] = {}
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if name not in path:
            continue
        for controller in controllers.split(",") if controllers else ("",):
            folders[controller] = MOUNT / controller / path.lstrip("/")
    unified = folders.pop("", None)
    if unified and (unified / "memory.max").exists():
        return _group(2, dict.fromkeys(CONTROLLERS.values(), unified))
    wanted = {c: folder for c, folder in folders.items() if c in (*CONTROLLERS.values(), _FREEZER)}
    return _group(1, wanted) if wanted else None


def _group(version: int, folders: Mapping[str, Path]) -> Group:
    return Group(Hierarchy(version, folders, {}), folders)
