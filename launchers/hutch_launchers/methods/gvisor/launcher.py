"""The method `gvisor`: a kernel of its own, in a program of the host: gVisor's runsc. For a root daemon."""

import json
import os
import re
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from hutch_launchers.containers.cli import call
from hutch_launchers.containers.engine import RUN
from hutch_launchers.containers.skeleton import unpack_skeleton
from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.hosts import name_files
from hutch_launchers.interpreter import GUEST_SOURCE, Interpreter, find_interpreter
from hutch_launchers.launcher import LauncherError, SandboxProcess
from hutch_launchers.methods.gvisor.bundle import bundle
from hutch_launchers.methods.gvisor.process import GvisorProcess
from hutch_launchers.methods.gvisor.root import make_root
from hutch_launchers.reaping import kill_marked
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, Mount, SandboxSpec
from hutch_launchers.system_view import look

_START = Path(__file__).parent / "start_bundle.py"
_FILTERED = GUEST_SOURCE.with_name("filtered.py")
_PLACES = Path("/run/hutch/gvisor")
_OWN_MEMORY_BYTES = 32 << 20  # of gVisor, with room: it holds 18 to 30 MiB for itself
_ACCESS = {False: "ro", True: "rw"}
_OLDEST = 2023  # Debian 12's of 2022 refuses calls that today's coreutils make
_INSTALL = "install runsc of 2023 or newer: https://gvisor.dev/docs/user_guide/install"


def _open(path: Path, held: ExitStack) -> int:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    held.callback(os.close, fd)
    return fd


def _outside(spec: SandboxSpec) -> SandboxSpec:
    """The spec that holds gVisor as a whole: it needs memory, and opens many files, for itself."""
    limits = replace(spec.limits, open_files=None)
    if limits.memory_bytes is not None:
        limits = replace(limits, memory_bytes=limits.memory_bytes + _OWN_MEMORY_BYTES)
    return replace(spec, limits=limits)


@dataclass(frozen=True, slots=True)
class GvisorLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={
            Guarantee.FILESYSTEM: "gVisor's file proxy",
            Guarantee.NETWORK: "network namespace",
            Guarantee.PROCESSES: "gVisor's kernel",
            Guarantee.SYSCALLS: "gVisor's kernel and a filter in it",
            Guarantee.DISK: "tmpfs sizes",
            Guarantee.KERNEL: "gVisor",
        },
        abilities=frozenset({Ability.KEEP, Ability.DOORS, Ability.NESTED, Ability.FREEZE}),
        processes=128,  # threads of gVisor itself
    )

    name: str = "gvisor"
    runsc: Path | None = None  # None: that of the path
    platform: str = ""  # systrap, ptrace, kvm; empty: runsc's own choice
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path
    probe_cache: Path | None = None

    async def find(self) -> Tool:
        path = str(self.runsc) if self.runsc else shutil.which("runsc", path=PATH)
        if path is None or not os.access(path, os.X_OK):
            raise LauncherError("method_unavailable", "runsc is not installed", _INSTALL)
        if os.geteuid() != 0:
            reason = "runsc makes its sandboxes as root"
            raise LauncherError("method_unavailable", reason, "choose bubblewrap, which needs no root")
        version = call([path, "--version"]).decode().split()[2]
        year = re.search(r"(20\d\d)\d{4}", version)
        if year and int(year[1]) < _OLDEST:
            raise LauncherError("method_unavailable", f"runsc {version} is too old", _INSTALL)
        return Tool(path, version)

    def interpreter(self) -> Interpreter:
        return find_interpreter(("/usr",))

    def check(self, spec: SandboxSpec) -> None:
        for mount in spec.mounts:
            check_target(mount.target)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        view = look()
        place = _PLACES / spec.run_id
        place.mkdir(mode=0o700, parents=True)
        held.callback(shutil.rmtree, place, ignore_errors=True)
        inside = place / "inside"
        inside.mkdir(mode=0o755)
        (inside / "filter").write_bytes(self._filter())
        (inside / "filtered.py").write_bytes(_FILTERED.read_bytes())
        (inside / "nothing").touch(mode=0o444)
        names = {path: inside / PurePosixPath(path).name for path in name_files(spec.egress)}
        for path, text in name_files(spec.egress).items():
            names[path].write_bytes(text)
        own = {path: Path(path) for path in (*view.folders, *self.readable)}
        own |= {RUN: inside, **names}
        own |= {"/dev/fuse": inside / "nothing"}  # gVisor puts a device there
        mounts = [*(Mount(path, PurePosixPath(target)) for target, path in own.items()), *spec.mounts]
        root = Mount(place / "root", PurePosixPath("/"))
        make_root(unpack_skeleton(view), root.source, mounts)
        sources = [_open(path, held) for path in (root.source, *own.values())]
        sources += open_sources(spec.mounts, held)
        every = [root, *mounts]
        bound = [replace(mount, source=place / "mounts" / str(n)) for n, mount in enumerate(every)]
        content = bundle(spec, bound)
        python = self.interpreter().program
        content["process"]["args"] = [python, "-I", "-S", f"{RUN}/filtered.py", f"{RUN}/filter"]
        (place / "config.json").write_text(json.dumps(content), encoding="utf-8")
        opened = (f"{_ACCESS[mount.writable]}={fd}" for mount, fd in zip(every, sources, strict=True))
        start = [sys.executable, "-I", "-S", str(_START), str(place), *opened, "--"]
        words = [*start, *self._words(tool, spec, place), "--", PLACE]
        return Start(words, _outside(spec), pass_fds=sources, is_in_network=True)

    def _words(self, tool: Tool, spec: SandboxSpec, place: Path) -> list[str]:
        # its own stack has no way out; with doors its sockets are those of the namespace around it
        network = "host" if spec.egress and spec.egress.made else "none"
        words = [tool.path, f"--root={place}/state", "--ignore-cgroups", f"--network={network}"]
        words += ["--overlay2=none", *([f"--platform={self.platform}"] if self.platform else [])]
        return [*words, "run", f"--bundle={place}", spec.run_id]

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        tool = await self.find()
        async with super(GvisorLauncher, self).launch(spec) as process:
            yield GvisorProcess(
                process, [tool.path, f"--root={_PLACES / spec.run_id}/state", "kill", spec.run_id]
            )

    def _filter(self) -> bytes:
        program = seccomp_filter()
        if program is None:
            reason = f"no table of system calls for {os.uname().machine}"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        return program

    async def sweep(self, run_id: str) -> bool:
        found = await kill_marked(run_id)
        place = _PLACES / run_id
        if place.exists():
            shutil.rmtree(place, ignore_errors=True)
            return True
        return found
