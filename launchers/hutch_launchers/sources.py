"""The host side of mounts: opened without following a link, checked, held by descriptor until mounted."""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath

from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Mount
from hutch_launchers.system_view import HOME

_NAMES = ("proc", "dev", "sys", "usr", "etc", "run", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM = tuple(PurePosixPath("/", name) for name in (*_NAMES, "opt/hutch"))
_COVERED = (PurePosixPath(HOME), PurePosixPath("/tmp"), *_SYSTEM)  # a mount above would hide them
# What programs trust is not the sandbox's own: a run whose traffic is read has another bundle there
_TRUSTED = PurePosixPath("/etc/ssl/certs/ca-certificates.crt")


def open_sources(mounts: Sequence[Mount], stack: ExitStack) -> list[int]:
    """Open each mount's source as a path descriptor that `stack` closes, in order.

    Raises LauncherError `sandbox_failed` for a source that is absent, a symbolic link, or neither a file nor
    a folder: a bound socket can be connected to, read-only or not.
    """
    opened: list[int] = []
    for mount in mounts:
        fd = _open(mount)
        stack.callback(os.close, fd)
        for below, below_fd in zip(reversed(mounts[: len(opened)]), reversed(opened), strict=True):
            if mount.target != below.target and mount.target.is_relative_to(below.target):
                path = mount.target.relative_to(below.target)
                here = _check_mount_point(below_fd, path, fd)
                if mount.source == below.source / path and not os.path.samestat(here, os.fstat(fd)):
                    raise _refused(f"a mount changes under our hands: {mount.source}")
                break
        opened.append(fd)
    return opened


def check_target(target: PurePosixPath) -> None:
    """Raise LauncherError unless `target` is a plain absolute path outside the system's folders."""
    if not target.is_absolute() or ".." in target.parts or "\0" in str(target):
        raise _refused(f"the mount target {str(target)!r} is not a plain absolute path")
    for system in _SYSTEM:
        if target.is_relative_to(system) and target != _TRUSTED:
            raise _refused(f"the mount target {target} is in the sandbox's own {system}")
    for covered in _COVERED:
        if target != covered and covered.is_relative_to(target):
            raise _refused(f"a mount at {target} would hide the sandbox's own {covered}")


def _open(mount: Mount) -> int:
    source = mount.source
    if not source.is_absolute():
        raise _refused(f"the mount source {str(source)!r} is not absolute")
    try:
        fd = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _refused(f"the mount source {source} cannot be opened: {error}") from error
    status = os.fstat(fd)
    mode = status.st_mode
    is_meant = mount.identity in (None, (status.st_dev, status.st_ino))
    if is_meant and (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        return fd
    os.close(fd)
    if not is_meant:
        raise _refused(f"another file came to be {source} at the start")
    kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
    raise _refused(f"the mount source {source} is {kind}")


def _check_mount_point(below_fd: int, path: PurePosixPath, source_fd: int) -> os.stat_result:
    """See that the mount below has `path`, of the source's kind and with no link on the way; return it.

    Otherwise bwrap would make it, in the host's folder, or follow a link that an earlier sandbox put there.
    """
    fd = os.dup(below_fd)
    try:
        for part in path.parts:
            below = fd
            try:
                fd = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=below)
            finally:
                os.close(below)
    except OSError as error:
        raise _refused(f"a mount target is inside another mount that does not hold it: {path}") from error
    found = os.fstat(fd)
    mode = found.st_mode
    os.close(fd)
    is_folder = stat.S_ISDIR(os.fstat(source_fd).st_mode)
    if stat.S_ISLNK(mode) or stat.S_ISDIR(mode) != is_folder:  # a file may cover a socket or a FIFO
        raise _refused(f"a mount target is inside another mount and of another kind there: {path}")
    return found


def _refused(message: str) -> LauncherError:
    return LauncherError(
        "sandbox_failed", message, "a mount needs an existing file or folder and a path of its own"
    )
