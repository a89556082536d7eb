"""The single steps of a restore: folders held open, links, attributes."""

import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from hutch.volumes.folder.beneath import FOLDER_FLAGS, Descent, open_beneath
from hutch.volumes.folder.findings import stat_of
from hutch.volumes.tree.nodes import File, Folder, Link, Node, Trail, Xattrs, find, path_of, walk
from hutch.volumes.tree.patches import difference


class Folders:
    """The folder that was last written to, held open: neighbours in a block mostly share it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._fd = -1
        self._trail: Trail | None = None

    def of(self, trail: Trail | None) -> int:
        """The descriptor of a folder, valid until the next call."""
        if self._fd < 0 or self._trail is not trail:
            self.close()
            self._fd = open_beneath(self._root, path_of(trail), FOLDER_FLAGS)
            self._trail = trail
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


class Wanted(NamedTuple):
    """A file to write. Its node, with what it shows of itself then, goes into `children`."""

    children: dict[bytes, Node]
    above: Trail | None  # of its folder
    name: bytes

    @property
    def node(self) -> File:
        node = self.children[self.name]
        assert isinstance(node, File)
        return node

    @property
    def trail(self) -> Trail:
        return Trail(self.above, self.name)


def link_all(root: int, tree: Folder, linked: list[tuple[Trail, Wanted]]) -> None:
    """Give files their other names, and note what all of their names then show."""
    for source, wanted in linked:
        here = open_beneath(root, path_of(source.above), FOLDER_FLAGS)
        there = open_beneath(root, path_of(wanted.above), FOLDER_FLAGS)
        try:
            os.link(source.name, wanted.name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        finally:
            os.close(here)
            os.close(there)
    with Folders(root) as folders:  # being linked shows on every name
        for trail in {trail for source, wanted in linked for trail in (source, wanted.trail)}:
            status = os.stat(trail.name, dir_fd=folders.of(trail.above), follow_symlinks=False)
            above, node = find(tree, path_of(trail.above)), find(tree, path_of(trail))
            if isinstance(above, Folder) and isinstance(node, File):
                above.children[trail.name] = node._replace(stat=stat_of(status))


def describe_folders(root: int, tree: Folder, old: Folder | None) -> Folder:
    """Attributes and times of what differs from `old`, from the inside out; notes them in the tree."""
    stack: list[tuple[bytes, Folder]] = [(b"", tree)]
    with Descent(root) as descent:

        def leave() -> Folder:
            name, folder = stack.pop()
            replace_xattrs(descent.fd, folder.xattrs)
            os.fchmod(descent.fd, folder.mode)
            os.utime(descent.fd, ns=(folder.mtime, folder.mtime))
            noted = folder._replace(stat=stat_of(os.fstat(descent.fd)))
            if stack:
                stack[-1][1].children[name] = noted
                descent.up()
            return noted

        for step in difference(old, tree):
            if step.depth == 0:
                continue
            while len(stack) > step.depth:
                leave()
            node = stack[-1][1].children.get(step.name)
            if isinstance(node, Folder):
                descent.down(step.name)
                stack.append((step.name, node))
        while len(stack) > 1:
            leave()
        return leave()
