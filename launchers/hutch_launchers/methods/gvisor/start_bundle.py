"""Binds mounts by their descriptors, writes the command into a bundle and becomes the runtime: a program.

Arguments: the bundle's folder, `ro=FD` or `rw=FD` for all that is mounted, `--`, the runtime's words, `--`,
the command's words. Standard library only. Each is bound at its place's number in `mounts` of the folder, in
a mount namespace of our own: what the runtime mounts is what was opened, whatever its path leads to by now.
And it is the host's kernel that keeps it from being written: runsc alone does not, a file that is opened to
be overwritten is emptied before that is refused (release 20240729).
"""

import ctypes
import fcntl
import json
import os
import socket
import stat
import struct
import sys
from pathlib import Path

# the same numbers on every architecture
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _EMPTY_PATH, _RECURSIVE = -100, 0x1000, 0x8000
_CLONE, _CLOEXEC, _FROM_EMPTY_PATH = 1, 0o2000000, 0x4
_RDONLY, _NOSUID, _NODEV = 0x1, 0x2, 0x4
_NEWNS, _NEWNET, _MS_REC, _MS_PRIVATE = 0x20000, 0x40000000, 0x4000, 0x40000
_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP

_libc = ctypes.CDLL(None, use_errno=True)


def main(folder: str, *words: str) -> None:
    """Does not return. Raises OSError where the kernel refuses a mount."""
    end = words.index("--")
    _bind(words[:end], Path(folder, "mounts"))
    _own_network()
    words = words[end + 1 :]
    end = words.index("--")
    file = Path(folder, "config.json")
    config = json.loads(file.read_text(encoding="utf-8"))
    config["process"]["args"] += words[end + 1 :]
    file.write_text(json.dumps(config), encoding="utf-8")
    os.execv(words[0], words[:end])  # noqa: S606 - no shell is wanted


def _bind(sources: tuple[str, ...], places: Path) -> None:
    trees = [_tree(*source.split("=")) for source in sources]  # while we see their mounts
    _done(_libc.unshare(_NEWNS))
    _done(_libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
    places.mkdir()
    for number, tree in enumerate(trees):
        place = places / str(number)
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            place.mkdir()
        else:
            place.touch()
        _done(_libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(place), _FROM_EMPTY_PATH))
        os.close(tree)


def _own_network() -> None:
    """A loopback and nothing else: what the runtime takes for the host's network, where it is to have any."""
    _done(_libc.unshare(_NEWNET))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))


def _tree(access: str, number: str) -> int:
    """A mount of its own of what is open, with its flags."""
    tree = _done(_libc.syscall(_OPEN_TREE, int(number), b"", _EMPTY_PATH | _RECURSIVE | _CLONE | _CLOEXEC))
    os.close(int(number))
    flags = _NOSUID | _NODEV | (_RDONLY if access == "ro" else 0)
    attributes = struct.pack("=4Q", flags, 0, 0, 0)  # struct mount_attr
    _done(_libc.syscall(_MOUNT_SETATTR, tree, b"", _EMPTY_PATH | _RECURSIVE, attributes, len(attributes)))
    return tree


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
