"""The kernel's newer calls on mounts (Linux 5.12): by descriptor, so that no path is looked up twice."""

import ctypes
import os

AT_FDCWD = -100
RDONLY, NOSUID, NODEV = 0x1, 0x2, 0x4  # of a mount; see mount_setattr(2)
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_EMPTY_PATH, _RECURSIVE = 0x1000, 0x8000
_CLONE, _CLOEXEC = 1, 0o2000000
_BOTH_EMPTY = 0x4 | 0x40

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Attributes(ctypes.Structure):
    """struct mount_attr: what is to be set and cleared."""

    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def clone_tree(fd: int) -> int:
    """A mount, with those below it, of what is open; it is nowhere yet. Raises OSError, as all of these."""
    return call(_OPEN_TREE, fd, b"", _EMPTY_PATH | _RECURSIVE | _CLONE | _CLOEXEC)


def move_mount(tree: int, point: int) -> None:
    """Put a mount on what is open."""
    call(_MOVE_MOUNT, tree, b"", point, b"", _BOTH_EMPTY)


def set_attributes(tree: int, attributes: Attributes) -> None:
    """Change the mount `tree` and those below it."""
    _set(tree, b"", _EMPTY_PATH | _RECURSIVE, attributes)


def set_attributes_at(path: str, attributes: Attributes, *, recursive: bool = False) -> None:
    """Change the mount at a path."""
    _set(AT_FDCWD, path.encode(), _RECURSIVE if recursive else 0, attributes)


def _set(folder: int, path: bytes, flags: int, attributes: Attributes) -> None:
    call(_MOUNT_SETATTR, folder, path, flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def call(number: int, *arguments: object) -> int:
    """A system call by its number. Raises OSError."""
    result = int(libc.syscall(ctypes.c_long(number), *(_word(a) for a in arguments)))
    if result < 0:
        fail(next((a for a in arguments if isinstance(a, bytes)), b""))
    return result


def _word(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def fail(path: bytes = b"") -> None:
    """Raise the last call's error."""
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path.decode(errors="replace"))
