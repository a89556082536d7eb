"""The method `gvisor`: a kernel of its own, in a program of the host: gVisor's runsc. For a root daemon."""

import json
import os
import re
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from hutch_launchers.containers.cli import call
from hutch_launchers.containers.engine import RUN
from hutch_launchers.containers.skeleton import unpack_skeleton
from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.interpreter import GUEST_SOURCE, Interpreter, find_interpreter
from hutch_launchers.launcher import Evidence, LauncherError, SandboxProcess
from hutch_launchers.methods.gvisor.bundle import bundle
from hutch_launchers.methods.gvisor.process import GvisorProcess
from hutch_launchers.reaping import kill_marked
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, Mount, SandboxSpec
from hutch_launchers.system_view import look

_START = Path(__file__).parent / "start_bundle.py"
_FILTERED = GUEST_SOURCE.with_name("filtered.py")
_PLACES = Path("/run/hutch/gvisor")
_OLDEST = 2023  # Debian 12's of 2022 refuses calls that today's coreutils make
_INSTALL = "install runsc of 2023 or newer: https://gvisor.dev/docs/user_guide/install"


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
        },
        abilities=frozenset({Ability.KEEP, Ability.NESTED, Ability.FREEZE}),
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

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        # it is a program, and there is no other way to run in its sandbox than under its kernel
        detail = "the canaries' system calls were answered by it"
        own = Evidence(held=True, mechanism="gVisor", detail=detail)
        return {**evidence, Guarantee.KERNEL: own}

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        view = look()
        root = unpack_skeleton(view)
        place = _PLACES / spec.run_id
        place.mkdir(mode=0o700, parents=True)
        held.callback(shutil.rmtree, place, ignore_errors=True)
        sources = open_sources(spec.mounts, held)
        inside = place / "inside"
        inside.mkdir(mode=0o755)
        (inside / "filter").write_bytes(self._filter())
        (inside / "filtered.py").write_bytes(_FILTERED.read_bytes())
        within = replace(spec, mounts=(Mount(inside, PurePosixPath(RUN)), *spec.mounts))
        content = bundle(str(root), (*view.folders, *self.readable), within)
        python = self.interpreter().program
        content["process"]["args"] = [python, "-I", "-S", f"{RUN}/filtered.py", f"{RUN}/filter"]
        (place / "config.json").write_text(json.dumps(content), encoding="utf-8")
        words = [tool.path, f"--root={place}/state", "--ignore-cgroups", "--network=none"]
        words += ["--overlay2=none", *([f"--platform={self.platform}"] if self.platform else [])]
        words += ["run", f"--bundle={place}", spec.run_id]
        argv = [sys.executable, "-I", "-S", str(_START), str(place), *words, "--", PLACE]
        outside = replace(spec, limits=replace(spec.limits, open_files=None))  # gVisor opens many for itself
        return Start(argv, outside, sources=sources)

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
