"""The method `landlock`, for hosts without user namespaces: Landlock, a filter and no capabilities.

What is inside opens no file but those of its mounts and the system's, makes no socket, signals and traces
only its own. The disk is not held. Whether a file of the host is there can be seen.
"""

import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import anyio.to_thread

from hutch_launchers.file_attributes import Attendant
from hutch_launchers.front import PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.host_view import DEVICES, HostView, without_system
from hutch_launchers.landlock import OLDEST, abi, restrict_this_thread
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.limits import pins_cpus
from hutch_launchers.own_paths import make_own_paths, refuse_protected, remove_run_folder
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.seccomp_listener import load_filter_with_listener
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec
from hutch_launchers.thread_confinement import drop_capabilities, start_confined
from hutch_launchers.thread_mounts import may_have_own_mounts, shut_devices

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
        HostView(self.system, self.readable, self.proc)

    async def find(self) -> Tool:
        if abi() < OLDEST:
            raise LauncherError(
                "method_unavailable",
                f"this kernel has no Landlock, or an old one (ABI {abi()}, {OLDEST} is needed)",
                "use Linux 6.2 or newer, with landlock in lsm= of the kernel's command line",
            )
        if seccomp_filter(is_lonely=True) is None:
            reason = f"no table of system calls for {platform.machine()}"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        if os.geteuid() == 0 and not may_have_own_mounts():
            reason = "root without the right to have mounts of its own would open devices in what is mounted"
            raise LauncherError("method_unavailable", reason, "run the daemon as an ordinary user")
        return Tool("/bin/sh", f"ABI {abi()}")

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        for mount in spec.mounts:
            check_target(mount.target)
        sources = open_sources(spec.mounts, held)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        program = seccomp_filter(pins_cpus=pins_cpus(spec.limits), is_lonely=True, asks=True)
        assert program is not None
        ruleset = HostView(self.system, self.readable, self.proc).ruleset(own, sources)
        held.callback(os.close, ruleset)
        writable = [fd for fd, mount in zip(sources, spec.mounts, strict=True) if mount.writable]
        paths = [Path(f"/proc/self/fd/{fd}").readlink() for fd in writable]
        attendant = Attendant([*paths, own.home.resolve(), own.temporary.resolve()])
        held.callback(attendant.close)
        spawn = partial(_spawn, ruleset, program, attendant)
        return Start((PLACE,), spec, spawn=spawn, adapt=lambda command: own.command(without_system(command)))

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


def _spawn(ruleset: int, program: bytes, attendant: Attendant, popen: Popen) -> "subprocess.Popen[bytes]":
    def confine() -> None:
        if os.geteuid() == 0:  # who needs no right to open what is its own
            shut_devices([path for path in DEVICES if Path(path).is_char_device()])
        drop_capabilities()
        restrict_this_thread(ruleset)
        attendant.listen(load_filter_with_listener(program))

    return start_confined(confine, popen)
