"""A command held in another Linux that a program leads to: a virtual machine, or another distribution.

There systemd gives it a unit of its own, with the limits, by which all of it is ended, and bubblewrap its
mounts and namespaces. Pure; where the host's folders are seen over there is said by the caller.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from hutch_launchers.commands import check_run_id
from hutch_launchers.front import PLACE
from hutch_launchers.launcher import LauncherError
from hutch_launchers.sources import check_target
from hutch_launchers.spec import Limits, SandboxSpec
from hutch_launchers.system_view import HOME

SLICE = "hutch.slice"  # over there, of all runs
_NAMESPACES = ("user", "pid", "ipc", "uts", "cgroup")
_LINKS = (("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64"))
_READABLE = ("/etc/hosts", "/etc/ssl", "/etc/ld.so.cache", "/etc/alternatives")

Locate = Callable[[Path], PurePosixPath]  # where a path of the host is over there


def far_argv(
    spec: SandboxSpec, locate: Locate, *, user: str, has_network: bool, ssh_agent: str = ""
) -> list[str]:
    """The words to be said by root over there, with `{command}` at their end. Raises LauncherError.

    `ssh_agent` is the socket over there of an agent that is to be shown, by `SSH_AUTH_SOCK` too.
    """
    unit = ["--quiet", "--pipe", "--wait", "--collect", f"--unit={far_unit(spec.run_id)}", f"--slice={SLICE}"]
    properties = [f"--property={one}" for one in _properties(spec.limits)]
    service = ["systemd-run", *unit, f"--uid={user}", *properties, "--"]
    socket = ["--bind", ssh_agent, ssh_agent, "--setenv", "SSH_AUTH_SOCK", ssh_agent] if ssh_agent else []
    return [*service, *_bubblewrap(spec, locate, has_network=has_network), *socket, "--", PLACE]


def stop_argv(run_id: str) -> list[str]:
    """The words by which root over there ends a run, with all that came of it."""
    return ["systemctl", "stop", far_unit(run_id)]


def far_unit(run_id: str) -> str:
    """The name of a run's unit over there. Raises LauncherError `command_invalid`."""
    check_run_id(run_id)
    return f"hutch-{run_id}.service"


def located(name: str, folders: Sequence[Path], places: Sequence[PurePosixPath], path: Path) -> PurePosixPath:
    """Where a path is, below the place of one of the folders. Raises LauncherError `sandbox_failed`."""
    for folder, place in zip(folders, places, strict=True):
        if path.is_relative_to(folder):
            return place / path.relative_to(folder)
    raise LauncherError(
        "sandbox_failed",
        f"{name} does not see {path}",
        f"add a folder above it to 'folders' of the method, then: hutch method setup {name}",
    )


def _properties(limits: Limits) -> Iterator[str]:
    yield from ("NoNewPrivileges=yes", "KillMode=control-group", f"RuntimeMaxSec={limits.wall_s:g}")
    yield "TimeoutStopSec=2"
    if limits.memory_bytes is not None:
        yield from (f"MemoryMax={limits.memory_bytes}", "MemorySwapMax=0")
    if limits.pids is not None:
        yield f"TasksMax={limits.pids}"
    if limits.cpus is not None:
        yield f"CPUQuota={limits.cpus * 100:g}%"
    if limits.open_files is not None:
        yield f"LimitNOFILE={limits.open_files}"


def _bubblewrap(spec: SandboxSpec, locate: Locate, *, has_network: bool) -> Iterator[str]:
    yield from ("bwrap", *(f"--unshare-{name}" for name in _NAMESPACES))
    if not has_network:
        yield "--unshare-net"
    yield from ("--die-with-parent", "--new-session", "--clearenv", "--ro-bind", "/usr", "/usr")
    for source, target in _LINKS:
        yield from ("--symlink", source, target)
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in _READABLE:
        yield from ("--ro-bind-try", path, path)
    for path in ("/tmp", HOME):
        if spec.limits.disk_bytes is not None:
            yield from ("--size", str(spec.limits.disk_bytes // 2))
        yield from ("--tmpfs", path)
    for mount in spec.mounts:
        check_target(mount.target)
        yield from ("--bind" if mount.writable else "--ro-bind", str(locate(mount.source)), str(mount.target))
