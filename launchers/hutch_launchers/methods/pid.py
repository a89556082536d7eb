"""The method `pid`: namespaces for processes, network, IPC and host name, and the host's files as they are.

The light alternative, of util-linux alone. What is inside sees and signals only its own processes, and
nothing outlives it; but it reads and changes whatever the daemon's user may.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import anyio.to_thread

from hutch_launchers.front import PATH, PLACE, Start
from hutch_launchers.front_method import FrontMethod, Tool, Traits, without_affinity
from hutch_launchers.hosts import name_files
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.own_paths import make_own_paths, remove_run_folder
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec
from hutch_launchers.user_namespaces import find_obstacle

_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup", "mount")
# Without `ip` there is no loopback. Programs find doors by the names that the files in the folder $1 give.
_SET_UP = """
ip link set lo up 2>/dev/null
[ -z "$1" ] || for file in "$1"/*; do
  place=/etc/${file##*/}
  [ ! -e "$place" ] || mount --bind "$file" "$place" || exit 1
done
shift
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class PidLauncher(FrontMethod):
    """Configuration only."""

    traits: ClassVar[Traits] = Traits(
        mechanisms={Guarantee.PROCESSES: "PID namespace", Guarantee.NETWORK: "network namespace"},
        abilities=frozenset({Ability.KEEP, Ability.DOORS, Ability.FREEZE}),
        counts_apart=True,
        inits=2,  # unshare, and the shell that stays in front
        is_first=True,
    )

    name: str = "pid"
    probe_cache: Path | None = None

    async def find(self) -> Tool:
        for program in ("unshare", "setpriv"):
            if shutil.which(program, path=PATH) is None:
                reason = f"the program {program!r} is not installed"
                raise LauncherError("method_unavailable", reason, "apt install util-linux")
        return Tool(shutil.which("unshare", path=PATH) or "")

    def explain(self, tool: Tool, error: LauncherError) -> tuple[str, str]:
        obstacle = find_obstacle(tool.path, error.message)
        return obstacle.reason, obstacle.fix

    def check(self, spec: SandboxSpec) -> None:
        if os.geteuid() != 0 and Ability.DOORS in spec.uses:
            raise LauncherError(
                "guarantee_missing",
                f"{self.name} cannot open doors for an ordinary user: mount(8) names them for root alone",
                "choose another method; `hutch doctor` shows what each gives here",
            )

    def prepare(self, tool: Tool, spec: SandboxSpec, held: ExitStack) -> Start:
        for mount in spec.mounts:
            check_target(mount.target)
        open_sources(spec.mounts, held)
        own = make_own_paths(spec.run_id, spec.mounts)
        held.callback(remove_run_folder, spec.run_id)
        names = ""
        if spec.egress is not None and spec.egress.made:
            folder = own.folder / "names"
            folder.mkdir()
            for path, content in name_files(spec.egress).items():
                (folder / Path(path).name).write_bytes(content)
            names = str(folder)
        return Start(pid_argv(tool.path, names), spec, adapt=own.command)

    def judge(self, evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
        return without_affinity(evidence)

    async def sweep(self, run_id: str) -> bool:
        return await anyio.to_thread.run_sync(remove_run_folder, run_id)


def pid_argv(unshare: str, names: str = "") -> Sequence[str]:
    """The words around a command; `names` is a folder of files that replace those of /etc."""
    namespaces = [f"--{name}" for name in _NAMESPACES]
    make = [unshare, *namespaces, "--map-current-user", "--mount-proc", "--fork", "--kill-child", "--"]
    drop = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--"]
    return [*make, "sh", "-c", _SET_UP, "hutch", names, *drop, PLACE]
