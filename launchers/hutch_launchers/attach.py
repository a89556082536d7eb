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
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spec import Mount
from hutch_launchers.system_view import HOME

# the same numbers on every architecture
_OPEN_TREE, _MOVE_MOUNT, _OPENAT2, _MOUNT_SETATTR = 428, 429, 437, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, 0o2000000
_MOVE_BOTH_EMPTY = 0x4 | 0x40
_RDONLY, _NOSUID, _NODEV, _IDMAP = 0x1, 0x2, 0x4, 0x100000
_RESOLVE_NO_SYMLINKS = 0x04
_MS_REMOUNT, _MS_NOSUID, _MS_NODEV = 32, 2, 4
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000


@dataclass(frozen=True, slots=True)
class Owner:
    """The kernel's ids of the user inside, to whom what is ours on the host is to belong there."""

    uid: int
    gid: int


class _Attributes(ctypes.Structure):  # struct mount_attr
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


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
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE
    tree = _call(_OPEN_TREE, source, b"", flags | _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC)
    held.callback(os.close, tree)
    wanted = _Attributes(_NOSUID | _NODEV | (0 if mount.writable else _RDONLY), 0, 0, 0)
    if mount.writable or owner != Owner(0, 0):
        wanted.set |= _IDMAP
        wanted.userns_fd = _mapping(owner)
    _set_attributes(tree, wanted, flags)
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
        _set_attributes(_AT_FDCWD, _Attributes(0, _RDONLY, 0, 0), 0, b"/")
        for target, is_folder in missing:
            _make_mount_point(target, owner, is_folder=is_folder)
    _set_attributes(_AT_FDCWD, _Attributes(_RDONLY, 0, 0, 0), 0, b"/")
    _set_attributes(_AT_FDCWD, _Attributes(_NOSUID, 0, 0, 0), _AT_RECURSIVE, b"/")
    for mount, tree in zip(mounts, trees, strict=True):
        how = _How(os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
        path = str(mount.target).encode(errors="surrogateescape")
        point = _call(_OPENAT2, _AT_FDCWD, path, ctypes.byref(how), ctypes.sizeof(how))
        try:
            _call(_MOVE_MOUNT, tree, b"", point, b"", _MOVE_BOTH_EMPTY)
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
        if _libc.mount(b"tmpfs", folder.encode(), b"tmpfs", _MS_REMOUNT | _MS_NOSUID | _MS_NODEV, options):
            _fail(folder.encode())
        if folder == HOME:
            os.chown(folder, owner.uid, owner.gid)
        # an engine may have taken the mode of the folder below
        Path(folder).chmod(0o700 if folder == HOME else 0o1777)


def _in_namespace(namespace: int, work: Callable[[], None]) -> None:
    """Run `work` in a thread that is in the mount namespace, and that ends with it. Raises OSError."""
    errors: list[OSError] = []

    def inside() -> None:
        try:
            if _libc.unshare(_CLONE_FS) or _libc.setns(namespace, _CLONE_NEWNS):
                _fail()
            work()
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=inside, name="attach")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _set_attributes(folder: int, attributes: _Attributes, flags: int, path: bytes = b"") -> None:
    _call(_MOUNT_SETATTR, folder, path, flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *(_word(a) for a in arguments)))
    if result < 0:
        _fail(next((a for a in arguments if isinstance(a, bytes)), b""))
    return result


def _word(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def _fail(path: bytes = b"") -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path.decode(errors="replace"))
