"""The method `safehouse`: macOS' own sandbox, by a profile for `sandbox-exec`.

Written from public profiles and never run by its authors. The profile is the same for all runs of as many
folders: their paths are parameters of it and never part of its text.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.launcher import LauncherError
from hutch_launchers.own_paths import make_own_paths, refuse_protected, remove_run_folder
from hutch_launchers.sources import check_target
from hutch_launchers.spec import Guarantee, SandboxSpec

_SEATBELT = "sandbox-exec profile"
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Apple", "/Library/Frameworks", "/opt/homebrew"),
    *("/private/etc/ssl", "/private/var/db/timezone", "/private/var/db/dyld"),
)
_FILES = (
    "/",
    "/private/etc/localtime",
    "/private/etc/hosts",
    "/private/etc/passwd",
    "/private/var/select/sh",
)
_DEVICES = ("null", "zero", "random", "urandom", "dtracehelper")


@dataclass(frozen=True, slots=True)
class SafehouseLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms=dict.fromkeys(
            (Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.PROCESSES, Guarantee.SYSCALLS), _SEATBELT
        ),
        abilities=frozenset(),
        processes=0,
    )

    name: str = "safehouse"
    readable: tuple[str, ...] = ()  # further host paths to read
    probe_cache: Path | None = None

    async def find(self) -> Tool:
        program = shutil.which("sandbox-exec", path=PATH) if sys.platform == "darwin" else None
        if program is None:
            reason = "sandbox-exec is a program of macOS"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        return Tool(program)

    def check(self, spec: SandboxSpec) -> None:
        refuse_protected(self.name, spec.mounts)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        for mount in spec.mounts:
            check_target(mount.target)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        writable = [own.folder, *(mount.source for mount in spec.mounts if mount.writable)]
        readable = [*map(Path, self.readable), *(m.source for m in spec.mounts if not m.writable)]
        return Start(safehouse_argv(tool.path, writable, readable), spec, adapt=own.command)

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        return await anyio.to_thread.run_sync(remove_run_folder, run_id) or found


def safehouse_argv(program: str, writable: Sequence[Path], readable: Sequence[Path]) -> list[str]:
    """The words around a command. The kernel compares true paths, so no part of one may be a link."""
    words = [program, "-p", safehouse_profile(len(writable), len(readable))]
    for kind, paths in (("WRITABLE", writable), ("READABLE", readable)):
        for number, path in enumerate(paths):
            words += ["-D", f"{kind}_{number}={os.path.realpath(path)}"]
    return [*words, PLACE]


def safehouse_profile(writable: int, readable: int) -> str:
    """The profile for so many folders, which are its parameters `WRITABLE_0` …, `READABLE_0` …."""
    return "\n".join(_profile(writable, readable)) + "\n"


def _profile(writable: int, readable: int) -> Iterator[str]:
    yield "(version 1)"
    yield "(deny default)"
    yield "(allow process-exec process-fork)"
    yield "(allow signal process-info* (target same-sandbox))"
    yield "(allow sysctl-read)"
    yield "(allow file-read-metadata)"  # of names alone: programs look at every folder above theirs
    yield _rule("file-read*", [f'(subpath "{path}")' for path in _SYSTEM])
    yield _rule("file-read*", [f'(literal "{path}")' for path in _FILES])
    devices = [f'(literal "/dev/{name}")' for name in _DEVICES]
    yield _rule("file-read* file-write-data file-ioctl", devices)
    if readable:
        yield _rule("file-read*", [f'(subpath (param "READABLE_{n}"))' for n in range(readable)])
    if writable:
        yield _rule("file-read* file-write*", [f'(subpath (param "WRITABLE_{n}"))' for n in range(writable)])
    yield "(deny file-write-setugid)"
    yield "(deny network*)"


def _rule(operations: str, filters: Sequence[str]) -> str:
    return "\n  ".join((f"(allow {operations}", *filters)) + ")"
