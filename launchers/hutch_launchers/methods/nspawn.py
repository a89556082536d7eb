"""The method `nspawn`: containers of systemd-nspawn, without systemd's part in them. For a root daemon."""

import os
import shutil
from dataclasses import dataclass
from functools import cache

from hutch_launchers.containers.cli import call
from hutch_launchers.containers.launcher import ContainerLauncher, Found
from hutch_launchers.containers.nspawn import NspawnEngine
from hutch_launchers.launcher import LauncherError
from hutch_launchers.system_view import GID, UID

_INSTALL = "install it (Debian, Ubuntu: sudo apt install systemd-container)"


@dataclass(frozen=True, slots=True)
class NspawnLauncher(ContainerLauncher):
    """Configuration only. Raises ValueError for an image, which it has no use for."""

    name: str = "nspawn"

    def __post_init__(self) -> None:
        if self.image:
            raise ValueError(
                "image: nspawn shows the host's own programs alone; docker and podman use images"
            )

    def find(self) -> Found:
        return _find(os.geteuid())


@cache
def _find(uid: int) -> Found:
    program = shutil.which("systemd-nspawn", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if program is None:
        raise LauncherError("method_unavailable", "systemd-nspawn is not installed", _INSTALL)
    if uid != 0:
        reason = "systemd-nspawn is for root alone"
        raise LauncherError("method_unavailable", reason, "choose bubblewrap or podman, which need no root")
    version = call([program, "--version"]).decode().partition("\n")[0]
    return Found(NspawnEngine(program), version, doors=True, user=(UID, GID), images=False)
