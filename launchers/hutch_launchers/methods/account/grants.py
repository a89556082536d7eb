"""What an account is granted for the length of a run: entries in the access lists of what is mounted.

A tree is reached by descriptor and no link in it is followed: it was written by sandboxes. All of it
blocks.
"""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.account import acl
from hutch_launchers.spec import Mount


@dataclass(frozen=True, slots=True)
class Grantee:
    """An account, and the accounts beside it: lists may name these, and nobody else."""

    uid: int
    pool: Collection[int]


def grant(mounts: Collection[Mount], to: Grantee) -> None:
    """Let the account use the mounts and enter the folders above. Raises LauncherError `sandbox_failed`.

    What was granted before an error is the caller's to withdraw.
    """
    for mount in mounts:
        _refuse_outside_links(mount)
    for mount in mounts:
        most = acl.READ | acl.ENTER | (acl.WRITE if mount.writable else 0)
        for folder in reversed(mount.source.parents):
            _grant_one(str(folder), to, acl.ENTER)
        for path, status in _walk(mount.source):
            enter = acl.ENTER if stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111 else 0
            _grant_one(path, to, most & ~acl.ENTER | enter, status)


def withdraw(sources: Collection[Path], uid: int, pool: Collection[int]) -> None:
    """Take back what `grant` gave, and give what the account made to the owner of the tree. Idempotent."""
    for source in sources:
        with suppress(FileNotFoundError):
            owner = source.stat(follow_symlinks=False)
            for path, status in _walk(source):
                if status.st_uid == uid:
                    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
                _withdraw_one(path, status, uid, pool)
        for folder in source.parents:
            with suppress(FileNotFoundError):
                _withdraw_one(str(folder), folder.stat(), uid, pool)


def _walk(top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each file, folder and link at and below `top`, by a path that leads nowhere else."""
    status = top.stat(follow_symlinks=False)
    yield str(top), status
    if not stat.S_ISDIR(status.st_mode):
        return
    for _, folders, files, fd in os.fwalk(top, follow_symlinks=False):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                yield f"/proc/self/fd/{fd}/{name}", os.stat(name, dir_fd=fd, follow_symlinks=False)


def _grant_one(path: str, to: Grantee, rights: int, status: os.stat_result | None = None) -> None:
    status = status or os.stat(path, follow_symlinks=False)  # noqa: PTH116 - a path by descriptor is a text
    if stat.S_ISLNK(status.st_mode) or status.st_mode & rights == rights:
        return  # everybody may, as far as the bits of the others tell
    try:
        known = _read(path, status, to.pool)
        os.setxattr(path, acl.NAME, known.granting(to.uid, rights).encode(), follow_symlinks=False)
    except acl.ForeignListError:
        raise LauncherError(
            "sandbox_failed",
            f"{_shown(path)} has an access list of its own, which a grant would change for good",
            "choose another method, or remove the list: setfacl -b",
        ) from None
    except OSError as error:
        raise LauncherError(
            "sandbox_failed",
            f"nobody can be granted {_shown(path)}: {error.strerror}",
            "its file system must keep access lists (mounted with acl), and be writable",
        ) from error


def _withdraw_one(path: str, status: os.stat_result, uid: int, pool: Collection[int]) -> None:
    if stat.S_ISLNK(status.st_mode):
        return
    with suppress(acl.ForeignListError, FileNotFoundError):
        known = _read(path, status, pool)
        if known != (rest := known.without(uid)):
            os.setxattr(path, acl.NAME, rest.encode(), follow_symlinks=False)


def _read(path: str, status: os.stat_result, pool: Collection[int]) -> acl.AccessList:
    try:
        return acl.decode(os.getxattr(path, acl.NAME, follow_symlinks=False), pool)
    except OSError:
        return acl.of_mode(status.st_mode)


def _refuse_outside_links(mount: Mount) -> None:
    """A file with a further name outside the mount would be granted there too."""
    found: dict[tuple[int, int], int] = {}
    names: dict[tuple[int, int], int] = {}
    for _, status in _walk(mount.source):
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            found[key] = found.get(key, 0) + 1
            names[key] = status.st_nlink
    if any(found[key] < names[key] for key in found):
        raise LauncherError(
            "sandbox_failed",
            f"a file in {mount.source} has a further name outside of it, a hard link",
            "copy the folder without its links, or choose a method with a mount namespace",
        )


def _shown(path: str) -> str:
    """As a person knows it."""
    folder, _, name = path.rpartition("/")
    if folder.startswith("/proc/self/fd/"):
        with suppress(OSError):
            return str(Path(folder).readlink() / name)
    return path
