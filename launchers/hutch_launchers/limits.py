"""Holds a sandbox to its limits, by control groups where the host has them for us, else by what remains.

What remains: resource limits of each process, which its children inherit, and a watch that adds up the memory
of all and ends the sandbox.
"""

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from hutch_launchers import proc
from hutch_launchers.cgroup import FRONT_PROCESSES, Group, make_group
from hutch_launchers.commands import check_run_id
from hutch_launchers.freezer import Freezer
from hutch_launchers.hierarchy import CONTROLLERS, find_hierarchy
from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import PidWatch
from hutch_launchers.spawner import Spawner
from hutch_launchers.spec import ExitStatus, Guarantee, Limits
from hutch_launchers.strikes import NONE, PrivateSpace, Strikes, marked

T = TypeVar("T")

INITS = 1  # of a user namespace, by which the kernel counts, bwrap's init is not the command's
_WATCH_S = 0.1  # between two looks at the memory of a sandbox without a control group


def mechanisms(limits: Limits, *, counts_apart: bool = True) -> Mapping[Guarantee, str]:
    """What enforces each of the limits that are set here; a limit that nothing can enforce is left out.

    `counts_apart`: the sandbox has its own user namespace, so that the kernel counts its processes alone.
    """
    hierarchy = find_hierarchy()
    asked = {
        Guarantee.MEMORY: limits.memory_bytes,
        Guarantee.PIDS: limits.pids,
        Guarantee.CPU: limits.cpus,
    }
    found: dict[Guarantee, str] = {}
    for guarantee, limit in asked.items():
        if limit is None:
            continue
        if hierarchy and CONTROLLERS[guarantee] in hierarchy.roots:
            found[guarantee] = f"cgroup v{hierarchy.version}"
        elif guarantee is not Guarantee.PIDS or counts_apart:
            found[guarantee] = _OTHERWISE[guarantee]
    return found


AFFINITY = "CPU affinity"
_OTHERWISE = {
    Guarantee.MEMORY: "RLIMIT_DATA and a watch over the sum",
    Guarantee.PIDS: "RLIMIT_NPROC",
    Guarantee.CPU: AFFINITY,
}


def pins_cpus(limits: Limits) -> bool:
    """Whether a sandbox must be kept from choosing its CPUs, as the choice is its limit."""
    return mechanisms(limits).get(Guarantee.CPU) == AFFINITY


class Confinement:
    """The limits of one sandbox, from before its start to after its end."""

    def __init__(
        self,
        limits: Limits,
        run_id: str,
        *,
        counts_apart: bool = True,
        front_processes: int = FRONT_PROCESSES,
        inits: int = INITS,
    ) -> None:
        """Make the control group. Raises LauncherError `sandbox_failed`, `command_invalid`.

        `front_processes` are in it besides the command's own, `inits` in a user namespace of its own.
        """
        check_run_id(run_id)
        self._limits, self._inits = limits, inits
        self._watch: _Watch | None = None
        self._group: Group | None = None
        self.mechanisms = mechanisms(limits, counts_apart=counts_apart)
        hierarchy = find_hierarchy()
        try:
            if hierarchy is not None:
                self._group = make_group(hierarchy, run_id, limits, front_processes)
        except OSError as error:
            raise LauncherError(
                "sandbox_failed",
                f"no control group could be made for the limits: {error}",
                "is /sys/fs/cgroup writable for the daemon? See: hutch doctor",
            ) from error
        self.freezer = Freezer(self._group.freezer if self._group else None)
        self.space = PrivateSpace()

    @property
    def pins_cpus(self) -> bool:
        """Whether the sandbox must be kept from choosing its CPUs, as the choice is its limit."""
        return pins_cpus(self._limits)

    def spawn(self, start: Callable[[], T], spawner: Spawner | None = None) -> T:
        """Run `start`, by `spawner` if given; what it starts is confined from its birth if it can be."""
        if self._group:
            return self._group.spawn(start, spawner)
        return spawner.run(start) if spawner else start()

    def hold(self, pid: int, watch: PidWatch) -> None:
        """Apply all of it to a process that waits to become the sandbox. Raises OSError."""
        self.join(pid)
        self.restrict(pid, watch)

    def join(self, pid: int) -> None:
        """Put a waiting process into the control group, if `spawn` could not. Raises OSError."""
        if self._group:
            self._group.add(pid)

    def restrict(self, pid: int, watch: PidWatch) -> None:
        """Set what holds one process and what comes of it; `watch` is killed for memory without a group."""
        limits = self._limits
        _lower(pid, resource.RLIMIT_CORE, 0)
        _lower(pid, resource.RLIMIT_NOFILE, limits.open_files)
        unheld = {one for one, mechanism in self.mechanisms.items() if mechanism == _OTHERWISE[one]}
        for guarantee in unheld:
            self._hold_without_group(guarantee, pid)
        if unheld & {Guarantee.MEMORY, Guarantee.PIDS}:
            self._watch = _Watch(
                pid,
                watch,
                memory_bytes=limits.memory_bytes if Guarantee.MEMORY in unheld else None,
                pids=limits.pids if Guarantee.PIDS in unheld else None,
            )

    def _hold_without_group(self, guarantee: Guarantee, pid: int) -> None:
        limits = self._limits
        if guarantee is Guarantee.MEMORY:
            # not RLIMIT_AS: runtimes reserve far more address space than they ever use
            _lower(pid, resource.RLIMIT_DATA, limits.memory_bytes)
        elif guarantee is Guarantee.PIDS and limits.pids is not None:
            _lower(pid, resource.RLIMIT_NPROC, limits.pids + self._inits)
        elif guarantee is Guarantee.CPU and limits.cpus is not None:
            allowed = sorted(os.sched_getaffinity(pid))
            os.sched_setaffinity(pid, allowed[: max(1, int(limits.cpus))])

    def strikes(self) -> Strikes:
        """How often its limits have struck so far."""
        seen = self._watch.strikes if self._watch is not None else NONE
        with suppress(OSError):  # the group has gone
            if self._group is not None:
                return seen.and_also(Strikes(self._group.oom_kills(), self._group.refused_forks()))
        return seen

    def mark(self, status: ExitStatus, before: Strikes = NONE) -> ExitStatus:
        """Return the end of a command with the limit that it met since `before`."""
        if status.code == 0:
            return status
        return marked(status, self.strikes().since(before), is_full=self.space.is_full)

    async def release(self) -> None:
        """Give back what the limits took on the host; all of the sandbox must have ended."""
        self.space.close()
        if self._watch is not None:
            self._watch.cancel()
        if self._group is not None:
            await self._group.remove()


def _lower(pid: int, which: int, value: int | None) -> None:
    """Set a resource limit of another process, never above what it has: only raising needs a right."""
    if value is None:
        return
    _, hard = resource.prlimit(pid, which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.prlimit(pid, which, (value, value))


class _Watch:
    """Looks at a sandbox without a control group: its memory, over which it is killed, and its processes."""

    def __init__(self, pid: int, target: PidWatch, *, memory_bytes: int | None, pids: int | None) -> None:
        self._pid, self._target = pid, target
        self._memory_bytes, self._pids = memory_bytes, pids
        self.strikes = NONE
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_WATCH_S, self._look)

    def _look(self) -> None:
        pids = list(proc.descendants(self._pid))
        if self._pids is not None and sum(map(proc.threads, pids)) >= self._pids:
            self.strikes = replace(self.strikes, pids=self.strikes.pids + 1)
        if self._memory_bytes is not None and _is_over(pids, self._memory_bytes):
            self.strikes = replace(self.strikes, memory=self.strikes.memory + 1)
            self._target.send(signal.SIGKILL)
            return
        self._timer = self._loop.call_later(_WATCH_S, self._look)

    def cancel(self) -> None:
        self._timer.cancel()


def _is_over(pids: list[int], limit_bytes: int) -> bool:
    files = proc.nameless_file_bytes(pids)
    # the cheap sum counts shared pages more than once: only when it is too much, the dear one decides
    return files + sum(map(proc.private_bytes, pids)) > limit_bytes and _used(pids, files) > limit_bytes


def _used(pids: list[int], files: int) -> int:
    """Memory of all of them together; a nameless file may be mapped too, and is not to count twice."""
    mapped = [proc.proportional_bytes(pid) for pid in pids]
    return max(sum(whole for whole, _ in mapped), sum(anonymous for _, anonymous in mapped) + files)
