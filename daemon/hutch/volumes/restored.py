"""The single steps of a restore: folders held open, links, attributes."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from hutch.volumes.beneath import FOLDER_FLAGS, open_beneath
from hutch.volumes.nodes import Folder, Link, Trail, Xattrs, path_of, walk


class Folders:
    """The folder that was last written to, held open: neighbours in a block mostly share it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._fd = -1
        self._trail: Trail | None = None

    def of(self, trail: Trail | None) -> int:
        """The descriptor of a folder, valid until the next call."""
        if self._fd < 0 or self._trail is not trail:
            self._close()
            self._fd = open_beneath(self._root, path_of(trail), FOLDER_FLAGS)
            self._trail = trail
        return self._fd

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


def copied(tree: Folder, shared: Folder | None) -> Folder:
    """The tree in folders of its own, for noting stats in; what `shared` has too stays shared."""
    if tree is shared:
        return tree
    known = (
        {} if shared is None else {id(node): node for _, _, node in walk(shared) if isinstance(node, Folder)}
    )
    top = tree._replace(children=dict(tree.children))
    open_folders = [top]
    while open_folders:
        children = open_folders.pop().children
        for name, node in children.items():
            if isinstance(node, Folder) and id(node) not in known:
                children[name] = copy = node._replace(children=dict(node.children))
                open_folders.append(copy)
    return top


def make_link(folder: int, name: bytes, link: Link) -> None:
    """A symbolic link, with its own time."""
    os.symlink(link.target, name, dir_fd=folder)
    os.utime(name, ns=(link.mtime, link.mtime), dir_fd=folder, follow_symlinks=False)


def set_xattrs(fd: int, xattrs: Xattrs) -> None:
    """Raises OSError."""
    for name, value in xattrs:
        os.setxattr(fd, name, value)


def replace_xattrs(fd: int, xattrs: Xattrs) -> None:
    """Make them the only `user.*` attributes. Raises OSError."""
    kept = {name for name, _ in xattrs}
    try:
        present = [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError:  # the file system has none
        present = []
    for name in present:
        if name.startswith(b"user.") and name not in kept:
            os.removexattr(fd, name)
    set_xattrs(fd, xattrs)


def umask() -> int:
    """This process's mask; os.umask() would change it for other threads."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o777
