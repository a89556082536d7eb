"""The method `landlock`, for hosts without user namespaces: Landlock, a filter and no capabilities.

What is inside opens no file but those of its mounts and the system's, makes no socket, signals and traces
only its own. The disk is not held. Whether a file of the host is there can be seen.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import anyio.to_thread

from hutch_launchers.cgroup import find_hierarchy
from hutch_launchers.file_attributes import Attendant
from hutch_launchers.front import PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.landlock import READ, USE, WRITE, Rule, abi, make_ruleset, restrict_this_thread
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.limits import pins_cpus
from hutch_launchers.own_paths import OwnPaths, make_own_paths, refuse_protected, remove_run_folder
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.seccomp_listener import load_filter_with_listener
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Command, Guarantee, SandboxSpec
from hutch_launchers.system_view import SystemView, look
from hutch_launchers.thread_confinement import drop_capabilities, start_confined

_OLDEST = 3  # Linux 6.2: before, any file could be truncated
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PLAIN_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")

Popen = Callable[[], "subprocess.Popen[bytes]"]


@dataclass(frozen=True, slots=True)
class LandlockLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={
            Guarantee.FILESYSTEM: "Landlock",
            Guarantee.NETWORK: "seccomp: no sockets",
            Guarantee.PROCESSES: "Landlock: no foreign signals, no /proc of others",
            Guarantee.SYSCALLS: "seccomp",
        },
        abilities=frozenset({Ability.KEEP, Ability.FREEZE}),
        processes=0,
    )

    name: str = "landlock"
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, to be read
    readable: tuple[str, ...] = ()  # further host paths to read
    proc: Literal["hidden", "visible"] = "hidden"  # visible: all of /proc, the host's list of processes too
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        if self.proc not in ("hidden", "visible"):
            raise ValueError(f"'proc' is 'hidden' or 'visible', not {self.proc!r}")

    async def find(self) -> Tool:
        if abi() < _OLDEST:
            raise LauncherError(
                "method_unavailable",
                f"this kernel has no Landlock, or an old one (ABI {abi()}, {_OLDEST} is needed)",
                "use Linux 6.2 or newer, with landlock in lsm= of the kernel's command line",
            )
        if seccomp_filter(is_lonely=True) is None:
            reason = f"no table of system calls for {platform.machine()}"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        return Tool("/bin/sh", f"ABI {abi()}")

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        for mount in spec.mounts:
            check_target(mount.target)
        sources = open_sources(spec.mounts, held)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        mounted = [
            Rule(fd, WRITE if m.writable else READ) for fd, m in zip(sources, spec.mounts, strict=True)
        ]
        program = seccomp_filter(pins_cpus=pins_cpus(spec.limits), is_lonely=True, asks=True)
        assert program is not None
        with ExitStack() as opened:
            rules = [*mounted, *self._rules(own, opened)]
            ruleset = make_ruleset(rules)
        held.callback(os.close, ruleset)
        writable = [fd for fd, mount in zip(sources, spec.mounts, strict=True) if mount.writable]
        paths = [Path(f"/proc/self/fd/{fd}").readlink() for fd in writable]
        attendant = Attendant([*paths, own.home.resolve(), own.temporary.resolve()])
        held.callback(attendant.close)
        spawn = partial(_spawn, ruleset, program, attendant)
        return Start((PLACE,), spec, spawn=spawn, adapt=lambda command: own.command(_without_system(command)))

    def _rules(self, own: OwnPaths, opened: ExitStack) -> Iterator[Rule]:
        """What everything inside may use; what is absent is left out."""
        proc = ("/proc",) if self.proc == "visible" else tuple(f"/proc/{name}" for name in _PLAIN_PROC)
        readable = (*system_paths(look(self.system)), *self.readable, *proc)
        devices = (f"/dev/{name}" for name in _DEVICES)
        private = (str(own.home), str(own.temporary))
        for paths, access in ((readable, READ), (devices, USE), (private, WRITE)):
            for path in paths:
                with suppress(OSError):
                    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                    opened.callback(os.close, fd)
                    yield Rule(fd, access)

    def check(self, spec: SandboxSpec) -> None:
        refuse_protected(self.name, spec.mounts)  # rules add up

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        """Without a group, what leaves its parents and its environment behind is not found again."""
        if find_hierarchy() is not None:
            return evidence
        lost = Evidence(held=False, mechanism="", detail="without control groups a process may get away")
        return {**evidence, **dict.fromkeys((Guarantee.PROCESSES, Guarantee.MEMORY), lost)}

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        return await anyio.to_thread.run_sync(remove_run_folder, run_id) or found


def _without_system(command: Command) -> Command:
    """Git takes a configuration of the host that it may not read for an error; elsewhere there is none."""
    return replace(command, env={"GIT_CONFIG_NOSYSTEM": "1", **command.env})


def system_paths(view: SystemView) -> tuple[str, ...]:
    """The host's paths that are in the view; links among them lead into its folders."""
    return (*view.folders, *(path for path, _ in view.files))


def _spawn(ruleset: int, program: bytes, attendant: Attendant, popen: Popen) -> "subprocess.Popen[bytes]":
    def confine() -> None:
        drop_capabilities()
        restrict_this_thread(ruleset)
        attendant.listen(load_filter_with_listener(program))

    return start_confined(confine, popen)
