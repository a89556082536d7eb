"""Shuts off the host's devices for a sandbox that sees the host's mounts: root may open its own anywhere."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hutch_launchers.mount_calls import (
    NODEV,
    NOSUID,
    Attributes,
    clone_tree,
    fail,
    libc,
    move_mount,
    set_attributes,
    set_attributes_at,
)

_CLONE_NEWNS, _MS_PRIVATE = 0x20000, 1 << 18
_SYS_ADMIN = 1 << 21


def may_shut_devices() -> bool:
    """Whether this process may have mounts of its own."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return any(line.startswith("CapEff:") and int(line.split()[1], 16) & _SYS_ADMIN for line in lines)


def shut_devices(open_ones: Sequence[str]) -> None:
    """Give this thread, and what it starts, mounts in which it opens no device but these. Raises OSError.

    Nothing that it starts may mount: else it would open them again.
    """
    with ExitStack() as held:
        trees = []
        for path in open_ones:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
            held.callback(os.close, fd)
            trees.append(clone_tree(fd))
            held.callback(os.close, trees[-1])
            set_attributes(trees[-1], Attributes(NOSUID, NODEV, 0, 0))
        if libc.unshare(_CLONE_NEWNS):
            fail()
        set_attributes_at("/", Attributes(NODEV | NOSUID, 0, _MS_PRIVATE, 0), recursive=True)
        for path, tree in zip(open_ones, trees, strict=True):
            point = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
            held.callback(os.close, point)
            move_mount(tree, point)
