"""A volume's tree in memory.

Nodes are never changed once a tree is published, so trees share what they have in common. A tree may have
a million of them: they are structs that the garbage collector does not look at (nothing in a tree leads back
to where it hangs), and what they say often, such as a mode, is one object.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

Stat = bytes  # what shows that a file did not change, packed by `stat_of`
Xattrs = tuple[tuple[bytes, bytes], ...]
Run = tuple[int, int, int]  # pack, first block, number of blocks
Place = tuple[int, int, int]  # pack, block, offset in its content


class File(Struct, frozen=True, gc=False):
    """Content is `at` for a small file, `blocks` for a large one, nothing for an empty one."""

    mode: int
    mtime: int
    size: int
    hash: str | None = None
    at: Place | None = None
    blocks: tuple[Run, ...] = ()
    chunker: str | None = None
    data: tuple[tuple[int, int], ...] | None = None  # of a sparse file: offset, length
    inode: int = 0  # hard links share one; 0: no other name
    xattrs: Xattrs = ()
    stat: Stat | None = None  # in this host's working folder; None: to be read again

    def is_same(self, other: "Node | None") -> bool:
        """Whether all but the stat is equal."""
        return isinstance(other, File) and (
            self.hash == other.hash
            and self.mtime == other.mtime
            and self.at == other.at
            and self == other._replace(stat=self.stat)
        )

    def _replace(self, **changes: Any) -> "File":
        return replace(self, **changes)


class Link(Struct, frozen=True, gc=False):
    """A symbolic link."""

    mtime: int
    target: bytes

    def is_same(self, other: "Node | None") -> bool:
        return isinstance(other, Link) and self == other


class Folder(Struct, frozen=True, gc=False):
    """`children` are in the order of their names' bytes."""

    mode: int
    mtime: int
    xattrs: Xattrs
    children: "dict[bytes, Node]"
    stat: Stat | None = None

    @property
    def description(self) -> tuple[int, int, Xattrs]:
        return self.mode, self.mtime, self.xattrs

    def _replace(self, **changes: Any) -> "Folder":
        return replace(self, **changes)


Node = File | Link | Folder
EMPTY = Folder(0o755, 0, (), {})


class Trail(NamedTuple):
    """Where a node is: its name and its folder's trail. The root has none. `path_of` tells the path."""

    above: "Trail | None"
    name: bytes


def path_of(trail: Trail | None) -> bytes:
    """Relative to the root, without a slash at either end."""
    parts = []
    while trail is not None:
        parts.append(trail.name)
        trail = trail.above
    return b"/".join(reversed(parts))


def walk(root: Folder) -> Iterator[tuple[int, Trail | None, Node]]:
    """Depth first, a folder before what is in it."""
    yield 0, None, root
    stack: list[tuple[Trail | None, Iterator[tuple[bytes, Node]]]] = [(None, iter(root.children.items()))]
    while stack:
        above, children = stack[-1]
        for name, node in children:
            trail = Trail(above, name)
            yield len(stack), trail, node
            if isinstance(node, Folder):
                stack.append((trail, iter(node.children.items())))
                break
        else:
            stack.pop()


def find(root: Folder, path: bytes) -> Node | None:
    """The node at a path without empty, `.` or `..` parts; b"" is the root. Links are not followed."""
    node: Node | None = root
    for name in path.split(b"/") if path else ():
        if not isinstance(node, Folder):
            return None
        node = node.children.get(name)
    return node


SAME = Folder(-1, -1, (), {})  # in a patch: the folder that stands there, with other children


def refs_of(runs: tuple[Run, ...]) -> Iterator[tuple[int, int]]:
    """The blocks (pack, block) of runs, one after another."""
    for pack, first, number in runs:
        for block in range(first, first + number):
            yield pack, block


def runs_of(refs: list[tuple[int, int]]) -> tuple[Run, ...]:
    """Blocks (pack, block), one after another, as runs."""
    runs: list[Run] = []
    for pack, block in refs:
        if runs and runs[-1][0] == pack and runs[-1][1] + runs[-1][2] == block:
            runs[-1] = (pack, runs[-1][1], runs[-1][2] + 1)
        else:
            runs.append((pack, block, 1))
    return tuple(runs)


def count(node: Node | None) -> tuple[int, int]:
    """Files and links in a tree, and the sum of its files' sizes."""
    if not isinstance(node, Folder):
        return (0, 0) if node is None else (1, node.size if isinstance(node, File) else 0)
    files = total = 0
    for _, _, each in walk(node):
        if not isinstance(each, Folder):
            files += 1
            total += each.size if isinstance(each, File) else 0
    return files, total


def edited(root: Folder, path: bytes, change: Callable[[Node | None], Node]) -> Folder:
    """The tree with one node changed; `path` is not empty and its folders exist."""
    names = path.split(b"/")
    folders = [root]
    for name in names[:-1]:
        folder = folders[-1].children[name]
        assert isinstance(folder, Folder)
        folders.append(folder)
    node = change(folders[-1].children.get(names[-1]))
    for folder, name in zip(reversed(folders), reversed(names), strict=True):
        children = folder.children | {name: node}
        node = folder._replace(children=dict(sorted(children.items())))
    assert isinstance(node, Folder)
    return node


def distrusted(proven: Folder, tree: Folder) -> Folder:
    """`tree` without the stats of what it does not share with `proven`: that will be read again."""
    return _reworked(
        proven,
        tree,
        lambda file: file._replace(stat=None),
        lambda folder, _, children: folder._replace(children=children, stat=None),
    )


def as_described(old: Folder, tree: Folder) -> Folder:
    """`tree`, which differs from `old` in stats and times of folders alone, as `old` describes it."""

    def described(folder: Folder, before: Folder, children: "dict[bytes, Node]") -> Folder:
        return before._replace(children=children, stat=folder.stat)

    return _reworked(old, tree, lambda file: file, described)


def refiled(tree: Folder, file: Callable[[File], File]) -> Folder:
    """`tree` with each file made anew."""
    return _reworked(EMPTY, tree, file, lambda folder, _, children: folder._replace(children=children))


def _reworked(
    old: Folder,
    tree: Folder,
    file: Callable[[File], File],
    folder: Callable[[Folder, Folder, dict[bytes, Node]], Folder],
) -> Folder:
    """`tree` with each file and folder that it does not share with `old` made anew."""
    if tree is old:
        return tree
    done: list[dict[bytes, Node]] = [{}]
    stack = [(b"", tree, old, iter(tree.children.items()))]
    while True:
        name, here, known, children = stack[-1]
        for child, node in children:
            before = known.children.get(child)
            if node is before or isinstance(node, Link):
                done[-1][child] = node
            elif isinstance(node, File):
                done[-1][child] = file(node)
            else:
                below = before if isinstance(before, Folder) else EMPTY
                stack.append((child, node, below, iter(node.children.items())))
                done.append({})
                break
        else:
            stack.pop()
            made = folder(here, known, done.pop())
            if not stack:
                return made
            done[-1][name] = made


def without(root: Folder, path: bytes) -> Folder:
    """The tree without one node, which exists and is not the root."""
    above, _, name = path.rpartition(b"/")
    folder = find(root, above)
    assert isinstance(folder, Folder)
    left = folder._replace(children={key: node for key, node in folder.children.items() if key != name})
    return edited(root, above, lambda _: left) if above else left
