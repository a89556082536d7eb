"""The method `wsl`: a distribution of WSL that is reserved for agents, beside the one that the daemon is in.

Written from Microsoft's documentation and never run by its authors: what it gives, the probe measures. All
distributions share one kernel and one network. The host's folders are shown below /mnt/wsl, which all see.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar

from hutch_launchers.far import far_argv, located, stop_argv
from hutch_launchers.far_tool import call, checked_folders, far_evidence, far_traits
from hutch_launchers.front import Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.methods.wsl.distribution import wsl_conf
from hutch_launchers.spec import Guarantee, SandboxSpec

_SHARED = PurePosixPath("/mnt/wsl")  # the one folder that all distributions see
_MAKE_S = 900.0  # a root is unpacked, packages are installed
_PACKAGES = "apt-get -q update && apt-get -q install -y bubblewrap python3"


@dataclass(frozen=True, slots=True)
class WslLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = far_traits("distribution of WSL")

    folders: tuple[str, ...]  # of the daemon's distribution: those of volumes and workspaces
    name: str = "wsl"
    program: str = "/mnt/c/Windows/System32/wsl.exe"
    distribution: str = "hutch-agents"
    rootfs: str = ""  # for the set-up: an archive of Debian's or Ubuntu's root
    location: str = ""  # for the set-up: a folder of Windows for its disk, as "C:\\hutch-agents"
    probe_cache: Path | None = None

    def __post_init__(self) -> None:
        checked_folders(self.folders)
        if not self.distribution.isascii() or not self.distribution.replace("-", "").isalnum():
            raise ValueError("'distribution' is a name of letters, digits and '-'")

    async def find(self) -> Tool:
        self._check_host()
        if self.distribution not in await self._distributions():
            raise self._not_set_up(f"there is no distribution {self.distribution!r}")
        for place in self._places():
            if not os.path.ismount(place):
                raise self._not_set_up(f"{place} is not there; it goes when WSL ends")
        return Tool(self.program)

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        locate = partial(located, self.name, [Path(folder) for folder in self.folders], self._places())
        words = far_argv(spec, locate, user=str(os.geteuid()), has_network=False)
        return Start(wsl_argv(tool.path, self.distribution, words), spec)

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        return far_evidence(evidence)

    async def sweep(self, run_id: str) -> bool:
        found = await FrontMethod.sweep(self, run_id)
        if Path(self.program).exists():
            await call(wsl_argv(self.program, self.distribution, stop_argv(run_id)), may_fail=True)
        return found

    async def set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        self._check_host()
        self._check_root()
        done = []
        if self.distribution not in await self._distributions():
            done.append(await self._import())
        for folder, place in zip(self.folders, self._places(), strict=True):
            if not os.path.ismount(place):
                Path(place).mkdir(parents=True, exist_ok=True)
                await call(["mount", "--bind", folder, str(place)])
                done.append(f"shows {folder} at {place}")
        return done

    async def undo_set_up(self) -> Sequence[str]:
        """As `NeedsSetUp`."""
        self._check_host()
        self._check_root()
        done = []
        for place in self._places():
            if os.path.ismount(place):
                await call(["umount", str(place)])
                done.append(f"{place} is no longer shown")
        if self.distribution in await self._distributions():
            await call([self.program, "--unregister", self.distribution], within_s=_MAKE_S)
            done.append(f"removed the distribution {self.distribution}, and all that was in it")
        return done

    async def _import(self) -> str:
        if not self.rootfs or not self.location:
            raise LauncherError(
                "method_unavailable",
                f"there is nothing to make the distribution {self.distribution} of",
                f"set methods.{self.name}.rootfs and methods.{self.name}.location (docs/configuration.md)",
            )
        archive = (await call(["wslpath", "-w", self.rootfs])).strip()
        words = ["--import", self.distribution, self.location, archive, "--version", "2"]
        await call([self.program, *words], within_s=_MAKE_S)
        packages = wsl_argv(self.program, self.distribution, ["sh", "-c", _PACKAGES])
        await call(packages, within_s=_MAKE_S)
        write = wsl_argv(self.program, self.distribution, ["tee", "/etc/wsl.conf"])
        await call(write, given=wsl_conf().encode())
        await call([self.program, "--terminate", self.distribution])  # its settings count from its next start
        return f"made the distribution {self.distribution}"

    async def _distributions(self) -> list[str]:
        return (await call([self.program, "--list", "--quiet"], may_fail=True)).split()

    def _places(self) -> list[PurePosixPath]:
        return [_SHARED / self.distribution / str(number) for number in range(len(self.folders))]

    def _check_host(self) -> None:
        if sys.platform != "linux" or not Path(self.program).exists():
            raise LauncherError(
                "method_unavailable",
                f"this is no distribution of WSL: {self.program} is not there",
                "run the daemon inside WSL 2, with interop on",
            )

    def _check_root(self) -> None:
        if os.geteuid() != 0:
            raise LauncherError(
                "method_unavailable",
                "only root may show folders to other distributions",
                f"sudo hutch method setup {self.name}",
            )

    def _not_set_up(self, reason: str) -> LauncherError:
        return LauncherError("method_unavailable", reason, f"once: sudo hutch method setup {self.name}")


def wsl_argv(wsl: str, distribution: str, words: Sequence[str]) -> list[str]:
    """The words said by root in the distribution; no shell takes them apart."""
    return [wsl, "--distribution", distribution, "--user", "root", "--cd", "/", "--exec", *words]
