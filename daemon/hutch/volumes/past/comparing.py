"""What differs between two snapshots, or between a working folder and the snapshot it stands on."""

from collections.abc import Iterator

from hutch.errors import HutchError
from hutch.volumes.log.state import State
from hutch.volumes.reading import entry_of, parse_path
from hutch.volumes.records import TreeChange, quoted
from hutch.volumes.tree.blocks import block_of
from hutch.volumes.tree.nodes import SAME, File, Folder, Node, find, path_of, refs_of, walk
from hutch.volumes.tree.patches import difference


def changes(old: State, new: State, prefix: str | bytes = "/") -> Iterator[TreeChange]:
    """Every path that differs below `prefix`, a folder before what is in it. Lazy: trees may be large.

    Raises:
        HutchError: `path_unknown`: neither has the prefix; `path_invalid`.
    """
    top = parse_path(prefix)
    before, after = find(old.tree, top), find(new.tree, top)
    if before is None and after is None:
        raise HutchError(
            "path_unknown",
            f"there is no {quoted(top)} in snapshot {old.number} or {new.number} of '{new.name}'",
            f"see: hutch volume ls {new.name} --at {new.number}",
        )
    return _changes(old, new, top, before, after)


def _changes(
    old: State, new: State, top: bytes, before: Node | None, after: Node | None
) -> Iterator[TreeChange]:
    if not isinstance(after, Folder) or not isinstance(before, Folder):
        yield from _replaced(old, new, top, before, after)
        return
    for step in difference(before, after):
        path = path_of(step.trail)
        whole = b"/".join(part for part in (top, path) if part)
        if step.new is SAME:
            continue
        if isinstance(step.old, Folder) and isinstance(step.new, Folder):
            if (step.old.mode, step.old.xattrs) != (step.new.mode, step.new.xattrs):
                yield TreeChange("M", entry_of(whole, step.old), entry_of(whole, step.new))
        elif isinstance(step.new, Folder):  # what is in it comes as steps of its own
            yield from _gone(whole, step.old)
            yield TreeChange("A", None, entry_of(whole, step.new))
        else:
            yield from _replaced(old, new, whole, step.old, step.new)


def _replaced(
    old: State, new: State, path: bytes, before: Node | None, after: Node | None
) -> Iterator[TreeChange]:
    if before is not None and after is not None and type(before) is type(after):
        if not _is_equal(old, new, before, after):
            yield TreeChange("M", entry_of(path, before), entry_of(path, after))
        return
    yield from _gone(path, before)
    yield from (TreeChange("A", None, change.before) for change in _gone(path, after))


def _gone(path: bytes, node: Node | None) -> Iterator[TreeChange]:
    """A node, and all that is in it."""
    if isinstance(node, Folder):
        for _, trail, each in walk(node):
            inner = b"/".join(part for part in (path, path_of(trail)) if part)
            yield TreeChange("D", entry_of(inner, each), None)
    elif node is not None:
        yield TreeChange("D", entry_of(path, node), None)


def _is_equal(old: State, new: State, before: Node, after: Node) -> bool:
    """Whether people see no difference: where content lies is not theirs to know."""
    if not isinstance(before, File) or not isinstance(after, File):
        return before == after
    seen = (before.mode, before.mtime, before.size, before.hash, before.xattrs, before.data)
    if seen != (after.mode, after.mtime, after.size, after.hash, after.xattrs, after.data):
        return False
    return before.blocks == after.blocks or _hashes(old, before) == _hashes(new, after)


def _hashes(state: State, node: File) -> list[tuple[int, str]]:
    blocks = [block_of(state, ref)[1] for ref in refs_of(node.blocks)]
    return [(block.length, block.hash) for block in blocks]
