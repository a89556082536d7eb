"""Mounts put into a sandbox that runs already: its command has not begun, so nobody inside can be in the way.

For root. A mount is cloned on the host from a descriptor, made read-only and given to the sandbox's user
there, and only then moved into the sandbox's mount namespace; it lives and ends with it.
"""

import ctypes
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from hutch_launchers.launcher import LauncherError
from hutch_launchers.mount_calls import (
    AT_FDCWD,
    NODEV,
    NOSUID,
    RDONLY,
    Attributes,
    call,
    clone_tree,
    fail,
    libc,
    move_mount,
    set_attributes,
    set_attributes_at,
)
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Mount
from hutch_launchers.system_view import HOME

_RESOLVE_NO_SYMLINKS = 0x04
_OPENAT2, _IDMAP = 437, 0x100000
_MS_REMOUNT, _MS_NOSUID, _MS_NODEV = 32, 2, 4
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000


@dataclass(frozen=True, slots=True)
class Owner:
    """The kernel's ids of the user inside, to whom what is ours on the host is to belong there."""

    uid: int
    gid: int


class _How(ctypes.Structure):  # struct open_how
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def attach(
    pid: int,
    owner: Owner,
    covers: Sequence[Mount],
    mounts: Sequence[Mount],
    sizes: Sequence[tuple[str, int]],
) -> None:
    """Put `covers`, then `mounts`, in order, into the mounts of `pid`, and give its tmpfs their sizes.

    Blocks for a few milliseconds. `covers` are the method's, each put over what there is, if there is any.
    In the end the root is read-only and no mount honours setuid. Raises LauncherError `sandbox_failed`.
    """
    for mount in mounts:
        check_target(mount.target)
    with ExitStack() as held:
        try:
            existing = _existing(pid, covers)
            over = frozenset(cover.target for cover in existing)
            every = (*existing, *mounts)
            sources = open_sources(every, held)
            trees = [_clone(fd, mount, owner, held) for fd, mount in zip(sources, every, strict=True)]
            namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, namespace)
            are_folders = [stat.S_ISDIR(os.fstat(fd).st_mode) for fd in sources]
            _in_namespace(namespace, lambda: _place(every, trees, are_folders, owner, over))
            _in_namespace(namespace, lambda: _resize(sizes, owner))
        except OSError as error:
            raise LauncherError(
                "sandbox_failed",
                f"a mount could not be put into the sandbox: {error}",
                "mounts need Linux 5.12 or newer and, with a root daemon, a filesystem that can be idmapped",
            ) from error


def _existing(pid: int, covers: Sequence[Mount]) -> list[Mount]:
    return [cover for cover in covers if os.path.lexists(f"/proc/{pid}/root{cover.target}")]


def _clone(source: int, mount: Mount, owner: Owner, held: ExitStack) -> int:
    tree = clone_tree(source)
    held.callback(os.close, tree)
    wanted = Attributes(NOSUID | NODEV | (0 if mount.writable else RDONLY), 0, 0, 0)
    if mount.writable or owner != Owner(0, 0):
        wanted.set |= _IDMAP
        wanted.userns_fd = _mapping(owner)
    set_attributes(tree, wanted)
    return tree


@cache
def _mapping(owner: Owner) -> int:
    """A user namespace in which what is root's on the disk is the owner's; held for good."""
    with subprocess.Popen(
        ["/usr/bin/unshare", "--user", "cat"], stdin=subprocess.PIPE, env={}, stdout=-1
    ) as made:
        try:
            assert made.stdin is not None
            assert made.stdout is not None
            made.stdin.write(b"\n")
            made.stdin.flush()
            made.stdout.read(1)  # then it is in its own namespace
            for name, number in (("uid_map", owner.uid), ("gid_map", owner.gid)):
                Path(f"/proc/{made.pid}/{name}").write_text(f"0 {number} 1", encoding="ascii")
            return os.open(f"/proc/{made.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            made.kill()


def _place(
    mounts: Sequence[Mount],
    trees: Sequence[int],
    are_folders: Sequence[bool],
    owner: Owner,
    over: Collection[PurePosixPath],
) -> None:
    missing = [
        (mount.target, are_folders[n])
        for n, mount in enumerate(mounts)
        if not any(mount.target.is_relative_to(earlier.target) for earlier in mounts[:n])
        and not os.path.lexists(mount.target)
    ]
    if missing:
        # the root is read-only by its mount's flag; what is made in it is the container's, and goes with it
        set_attributes_at("/", Attributes(0, RDONLY, 0, 0))
        for target, is_folder in missing:
            _make_mount_point(target, owner, is_folder=is_folder)
    set_attributes_at("/", Attributes(RDONLY, 0, 0, 0))
    set_attributes_at("/", Attributes(NOSUID, 0, 0, 0), recursive=True)
    for mount, tree in zip(mounts, trees, strict=True):
        how = _How(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
        path = str(mount.target).encode(errors="surrogateescape")
        point = call(_OPENAT2, AT_FDCWD, path, ctypes.byref(how), ctypes.sizeof(how))
        try:
            move_mount(tree, point)
        except FileNotFoundError:
            if mount.target not in over:
                raise
            # nothing can be mounted on a file without a name: nspawn's own mask of /proc/kmsg is one
        finally:
            os.close(point)


def _make_mount_point(target: PurePosixPath, owner: Owner, *, is_folder: bool) -> None:
    for folder in (*reversed(target.parents), *((target,) if is_folder else ())):
        with suppress(FileExistsError):
            Path(folder).mkdir(0o755)
            os.chown(folder, owner.uid, owner.gid)  # in its home, what is beside the mount is to be its own
    if not is_folder:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))


def _resize(sizes: Sequence[tuple[str, int]], owner: Owner) -> None:
    for folder, size in sizes:
        options = f"size={size}".encode()
        if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", _MS_REMOUNT | _MS_NOSUID | _MS_NODEV, options):
            fail(folder.encode())
        if folder == HOME:
            os.chown(folder, owner.uid, owner.gid)
        # an engine may have taken the mode of the folder below
        Path(folder).chmod(0o700 if folder == HOME else 0o1777)


def _in_namespace(namespace: int, work: Callable[[], None]) -> None:
    """Run `work` in a thread that is in the mount namespace, and that ends with it. Raises OSError."""
    errors: list[OSError] = []

    def inside() -> None:
        try:
            if libc.unshare(_CLONE_FS) or libc.setns(namespace, _CLONE_NEWNS):
                fail()
            work()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=inside, name="attach")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
