"""The method `docker`: containers of a Docker daemon of this host."""

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hutch_launchers.containers.cli import CliEngine, call
from hutch_launchers.containers.launcher import ContainerLauncher, Found
from hutch_launchers.launcher import LauncherError
from hutch_launchers.system_view import GID, UID

_SOCKET = "/var/run/docker.sock"
_FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class DockerLauncher(ContainerLauncher):
    """Configuration only. Raises ValueError for a daemon that is not on this host."""

    name: str = "docker"
    host: str = ""  # "unix:///path"; empty: what docker itself would take
    program: str = "docker"

    def __post_init__(self) -> None:
        if self.host and not self.host.startswith("unix:///"):
            raise ValueError(f"host: {self.host!r} is no unix socket of this host (unix:///path)")

    def find(self) -> Found:
        return _find(self.program, self.host or _usual_host(), int(time.monotonic() / _FRESH_S))


def _usual_host() -> str:
    own = Path(os.environ.get("XDG_RUNTIME_DIR", "/nonexistent"), "docker.sock")
    said = os.environ.get("DOCKER_HOST", "")
    if said.startswith("unix:///"):
        return said
    return f"unix://{own if own.exists() and not os.access(_SOCKET, os.W_OK) else _SOCKET}"


@lru_cache(maxsize=8)
def _find(program: str, host: str, _period: int) -> Found:
    words = (program, "--host", host)
    try:
        answer = call([*words, "info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}"]).decode()
    except LauncherError as error:
        raise _unavailable(error, host) from error
    version, _, security = answer.partition(" ")
    if "name=rootless" in security:
        user = (0, 0)  # there, root inside is who runs the daemon
    elif os.geteuid() == 0:
        user = (UID, GID)
    else:
        user = (os.geteuid(), os.getegid())
    is_root = os.geteuid() == 0
    # by default Docker takes IPv6 from the loopback too
    run_words: tuple[str, ...] = ("--sysctl", "net.ipv6.conf.all.disable_ipv6=0")
    if not is_root:  # else it is covered later
        run_words += ("--tmpfs", "/sys:ro,size=4k")
    return Found(CliEngine(words, run_words), version, doors=is_root, user=user)


def _unavailable(error: LauncherError, host: str) -> LauncherError:
    path = host.removeprefix("unix://")
    if error.code == "method_unavailable":
        fix = "install it (Debian, Ubuntu: sudo apt install docker.io)"
    elif "permission denied" in error.message:
        fix = f"let this user use {path}, which gives it root's rights: sudo usermod -aG docker $USER"
    else:
        fix = f"start it: sudo systemctl start docker; or name its socket in the method's `host`: {host}"
    return LauncherError("method_unavailable", f"docker does not answer at {host}: {error.message}", fix)
