"""The method `lima`: one virtual machine for all runs, and in it each run in a bubble of its own.

Written from Lima's documentation and never run by its authors: what it gives, the probe measures. The machine
is made by `hutch method setup NAME`, and started when it is needed.
"""

import getpass
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

from hutch_launchers.far import far_argv, located, stop_argv
from hutch_launchers.far_tool import call, checked_folders, checked_ports, far_evidence, far_traits
from hutch_launchers.front import PATH, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.methods.lima.machine import Machine, lima_yaml
from hutch_launchers.spec import Guarantee, SandboxSpec

_SSH_AGENT = "/run/host-services/ssh-auth.sock"  # where Lima shows a forwarded agent
_MAKE_S = 900.0  # an image is fetched, packages are installed


@dataclass(frozen=True, slots=True)
class LimaLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = far_traits("virtual machine")

    folders: tuple[str, ...]  # of the host that the machine sees: those of volumes and workspaces
    name: str = "lima"
    machine: str = "hutch"
    template: str = "template://debian-12"
    host_services: tuple[str, ...] = ()  # ports of the host's loopback, reached as host.lima.internal
    forwarded_ports: tuple[str, ...] = ()
    ssh_agent: str = "no"
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        checked_folders(self.folders)
        checked_ports("host_services", self.host_services)
        checked_ports("forwarded_ports", self.forwarded_ports)
        if (
            not self.machine.isascii()
            or not self.machine.replace("-", "").isalnum()
            or self.machine[0] == "-"
        ):
            raise ValueError("'machine' is a name of letters, digits and '-'")
        if self.ssh_agent not in ("no", "yes"):
            raise ValueError("'ssh_agent' is 'no' or 'yes'")

    async def find(self) -> Tool:
        program = self._program()
        status = (
            await call([program, "list", "--format", "{{.Status}}", self.machine], may_fail=True)
        ).strip()
        if not status:
            raise LauncherError(
                "method_unavailable",
                f"there is no virtual machine {self.machine!r}",
                f"make it, once: hutch method setup {self.name}",
            )
        if status != "Running":
            await call([program, "start", "--tty=false", self.machine], within_s=_MAKE_S)
        return Tool(program)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        folders = [Path(folder) for folder in self.folders]
        locate = partial(located, self.name, folders, [PurePosixPath(folder) for folder in folders])
        words = far_argv(
            spec,
            locate,
            user=getpass.getuser(),  # Lima gives the machine a user of this name
            has_network=bool(self.host_services),
            ssh_agent=_SSH_AGENT if self.ssh_agent == "yes" else "",
        )
        return Start(lima_argv(tool.path, self.machine, words), spec, env=_own_environment())

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        return far_evidence(evidence)

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        if program := shutil.which("limactl", path=PATH):
            await call(lima_argv(program, self.machine, stop_argv(run_id)), may_fail=True)
        return found

    async def set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        program = self._program()
        if (await call([program, "list", "--quiet", self.machine], may_fail=True)).strip():
            return ()
        machine = Machine(
            self.template,
            [Path(folder) for folder in self.folders],
            [int(port) for port in self.host_services],
            [int(port) for port in self.forwarded_ports],
            has_ssh_agent=self.ssh_agent == "yes",
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{self.machine}.yaml")
            file.write_text(lima_yaml(machine), encoding="utf-8")
            await call(
                [program, "create", "--tty=false", f"--name={self.machine}", str(file)], within_s=_MAKE_S
            )
        await call([program, "start", "--tty=false", self.machine], within_s=_MAKE_S)
        return (f"made and started the virtual machine {self.machine}",)

    async def undo_set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        program = self._program()
        if not (await call([program, "list", "--quiet", self.machine], may_fail=True)).strip():
            return ()
        await call([program, "delete", "--force", self.machine], within_s=_MAKE_S)
        return (f"removed the virtual machine {self.machine}, and all that was in it",)

    def _program(self) -> str:
        if sys.platform not in ("linux", "darwin"):
            raise LauncherError("method_unavailable", f"there is no Lima for {sys.platform}")
        if os.geteuid() == 0:
            raise LauncherError(
                "method_unavailable",
                "Lima makes no virtual machine for root",
                "run the daemon as an ordinary user: systemctl --user enable --now hutch",
            )
        if program := shutil.which("limactl", path=PATH):
            return program
        raise LauncherError(
            "method_unavailable", "Lima is not installed", "https://lima-vm.io/docs/installation"
        )


def lima_argv(limactl: str, machine: str, words: Sequence[str]) -> list[str]:
    """The words said by root in the machine; Lima quotes each for the shell that it starts there."""
    return [limactl, "shell", "--workdir", "/", machine, "--", "sudo", "-n", *words]


def _own_environment() -> dict[str, str]:
    """Of limactl, which keeps its machines below the home."""
    return {"HOME": str(Path.home())}
