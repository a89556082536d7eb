"""The difference between two trees, and a tree from a patch. What both trees share is skipped."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hutch.volumes.tree.nodes import SAME, Folder, Node, Trail


class Difference(NamedTuple):
    """One step of a patch. `new` is None: gone; SAME: only something below it differs."""

    depth: int
    trail: Trail | None
    new: Node | None
    old: Node | None

    @property
    def name(self) -> bytes:
        return self.trail.name if self.trail else b""


def difference(old: Folder | None, new: Folder) -> Iterator[Difference]:
    """What turns `old` into `new`, in the order of a walk; nothing if they are the same."""
    waiting: list[Difference] = []  # folders that did not change themselves: told once something below did
    for step in _steps(old, new):
        while waiting and waiting[-1].depth >= step.depth:
            waiting.pop()
        if _is_same_folder(step.old, step.new):
            waiting.append(step._replace(new=SAME))
        else:
            yield from waiting
            waiting.clear()
            yield step


def differs(old: Folder, new: Folder) -> bool:
    """Whether anything differs. For threads: of large trees that have nothing in common it takes seconds."""
    return next(difference(old, new), None) is not None


def _steps(old: Folder | None, new: Folder) -> Iterator[Difference]:
    """Every pair of nodes that may differ, in the order of a walk."""
    if old is new:
        return
    yield Difference(0, None, new, old)
    stack: list[tuple[Trail | None, Iterator[tuple[bytes, Node | None, Node | None]]]] = []
    stack.append((None, _unequal(old, new)))
    while stack:
        above, children = stack[-1]
        for name, before, now in children:
            trail = Trail(above, name)
            yield Difference(len(stack), trail, now, before)
            if isinstance(now, Folder):
                stack.append((trail, _unequal(before, now)))
                break
        else:
            stack.pop()


def _unequal(old: Node | None, new: Folder) -> Iterator[tuple[bytes, Node | None, Node | None]]:
    """Name, old and new of each child that may differ, in the order of names."""
    known = old.children if isinstance(old, Folder) else {}
    get = known.get
    names = [name for name, node in new.children.items() if get(name) is not node]
    names += known.keys() - new.children.keys()  # what is the same object costs no more than this
    for name in sorted(names) if known else names:
        before, now = get(name), new.children.get(name)
        if now is not None and not isinstance(now, Folder) and now.is_same(before):
            continue
        yield name, before, now


def _is_same_folder(old: Node | None, new: Node | None) -> bool:
    return isinstance(old, Folder) and isinstance(new, Folder) and old.description == new.description


def applied(base: Folder | None, patch: Iterable[tuple[int, bytes, Node | None]]) -> Folder:
    """The tree that a patch (depth, name, node) makes of `base`. A folder keeps its children.

    Raises:
        ValueError: the patch makes no tree.
    """
    open_folders: list[_OpenFolder] = []
    for depth, name, node in patch:
        if (
            (depth > 0) != (len(open_folders) > 0)
            or depth > len(open_folders)
            or (depth > 0) != (name != b"")
        ):
            raise ValueError("a node without its folder")
        _close(open_folders, depth)
        before = open_folders[-1].children.get(name) if depth else base
        if isinstance(node, Folder):
            open_folders.append(_OpenFolder(name, node, before if isinstance(before, Folder) else None))
        elif depth:
            open_folders[-1].put(name, node)
        else:
            raise ValueError("the root is no folder")
    if not open_folders:
        raise ValueError("no root")
    _close(open_folders, 1)
    return open_folders[0].closed()


def _close(open_folders: "list[_OpenFolder]", depth: int) -> None:
    while len(open_folders) > max(depth, 1):
        last = open_folders.pop()
        open_folders[-1].put(last.name, last.closed())


class _OpenFolder:
    """A folder that is being put together from what stood there and a patch."""

    def __init__(self, name: bytes, described: Folder, before: Folder | None) -> None:
        if described is SAME and before is None:
            raise ValueError("a folder that is not there cannot be the same")
        self.name = name
        self.children = dict(before.children) if before else {}
        self._described = before if before and described is SAME else described
        self._unordered = False

    def put(self, name: bytes, node: Node | None) -> None:
        if node is None:
            self.children.pop(name, None)
            return
        self._unordered |= bool(self.children) and name not in self.children
        self.children[name] = node

    def closed(self) -> Folder:
        children = dict(sorted(self.children.items())) if self._unordered else self.children
        return self._described._replace(children=children)
