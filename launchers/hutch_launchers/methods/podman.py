"""The method `podman`: containers without a daemon, also those of an ordinary user."""

import os
import resource
import time
from dataclasses import dataclass
from functools import lru_cache

from hutch_launchers.containers.cli import CliEngine, call
from hutch_launchers.containers.launcher import ContainerLauncher, Found
from hutch_launchers.launcher import LauncherError
from hutch_launchers.system_view import GID, UID

_FRESH_S = 10.0
_PROCESSES = 32768  # of one user over all containers; the limit of a sandbox is its control group's


@dataclass(frozen=True, slots=True)
class PodmanLauncher(ContainerLauncher):
    """Configuration only."""

    name: str = "podman"
    command: tuple[str, ...] = ("podman",)  # with options of its own: --root, --runroot, --cgroup-manager

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("command: it has no words")

    def find(self) -> Found:
        return _find(self.command, int(time.monotonic() / _FRESH_S))


@lru_cache(maxsize=8)
def _find(command: tuple[str, ...], _period: int) -> Found:
    try:
        version = call([*command, "version", "--format", "{{.Client.Version}}"]).decode().strip()
    except LauncherError as error:
        fix = "install it (Debian, Ubuntu: sudo apt install podman)"
        if error.code != "method_unavailable":
            fix = f"see what it says: {' '.join(command)} info"
        raise LauncherError("method_unavailable", error.message, fix) from error
    # of an ordinary user, so that what is its own on the host is the command's inside
    own: tuple[str, ...] = ("--read-only-tmpfs=false",)  # its own at /run has no bound
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    if most != resource.RLIM_INFINITY:  # podman asks for more than it may give where this is bounded
        own += ("--ulimit", "nproc={0}:{0}".format(min(most, _PROCESSES)))
    if os.geteuid() != 0:
        # else the host's control groups are shown; with root's daemon it is covered later
        own += ("--security-opt", "mask=/sys")
        own += ("--userns", f"keep-id:uid={UID},gid={GID}")
    engine = CliEngine(command, own)
    return Found(engine, version, doors=True, user=(UID, GID), maps_users=os.geteuid() != 0)
