"""Mounts of a thread's own, for what it starts: the host's, but for devices shut off and files exchanged.

For root, and before Landlock rules, under which nothing can be mounted.
"""

import os
from collections.abc import Mapping, Sequence
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
_HELD = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
_SYS_ADMIN = 1 << 21


def may_have_own_mounts() -> bool:
    """Whether this process has the right to mounts of its own."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return any(line.startswith("CapEff:") and int(line.split()[1], 16) & _SYS_ADMIN for line in lines)


def shut_devices(open_ones: Sequence[str]) -> None:
    """No device can be opened but these. Raises OSError."""
    with ExitStack() as held:
        trees = {path: _tree(path, held) for path in open_ones}
        for tree in trees.values():
            set_attributes(tree, Attributes(NOSUID, NODEV, 0, 0))
        _part(NODEV | NOSUID)
        _put(trees)


def exchange(files: Mapping[str, Path]) -> None:
    """At these paths there are these files, as far as there is a file already. Raises OSError."""
    with ExitStack() as held:
        trees = {path: _tree(str(file), held) for path, file in files.items() if Path(path).is_file()}
        _part(NOSUID)
        _put(trees)


def _tree(path: str, held: ExitStack) -> int:
    fd = os.open(path, _HELD)
    held.callback(os.close, fd)
    tree = clone_tree(fd)
    held.callback(os.close, tree)
    return tree


def _part(flags: int) -> None:
    if libc.unshare(_CLONE_NEWNS):
        fail()
    set_attributes_at("/", Attributes(flags, 0, _MS_PRIVATE, 0), recursive=True)


def _put(trees: Mapping[str, int]) -> None:
    for path, tree in trees.items():
        point = os.open(Path(path).resolve(), _HELD)
        try:
            move_mount(tree, point)
        finally:
            os.close(point)
