"""Content that the tree a commit stands on has already, found by its hash."""

from collections import Counter
from collections.abc import Iterator

from hutch.volumes.log.state import State
from hutch.volumes.tree.blocks import Ref, layout
from hutch.volumes.tree.nodes import SAME, File, Folder, Node, Place, refs_of, walk
from hutch.volumes.tree.patches import difference


class Known:
    """The only content that a commit may re-use (invariant 8). Content in the packs `apart` is put anew."""

    def __init__(self, state: State, apart: frozenset[int] = frozenset(), *, is_indexed: bool = True) -> None:
        """Without an index only what a file had itself is known."""
        self._state = state
        self._apart = apart
        self._small: dict[str, Place] = {}
        self._blocks: dict[str, Ref] = {}
        self._uses: Counter[Place | Ref] = Counter()  # names in the tree that need a place
        for file in _files(state.tree) if is_indexed else ():
            self._add(file)

    def follow(self, state: State) -> None:
        """Stand on a later state of the same volume from now on. Costs what differs."""
        for step in difference(self._state.tree, state.tree):
            if step.new is SAME:
                continue
            if not (isinstance(step.old, Folder) and isinstance(step.new, Folder)):
                for file in _files(step.old):
                    self._remove(file)
        before, self._state = self._state, state
        for step in difference(before.tree, state.tree):
            if isinstance(step.new, File):
                self._add(step.new)

    def small(self, name: str, before: File | None) -> Place | None:
        """Where content lies: best where the file had it, so that an unchanged file stays as it was."""
        if before and before.hash == name and before.at and before.at[0] not in self._apart:
            return before.at
        return self._small.get(name)

    def block(self, name: str, before: Ref | None) -> Ref | None:
        """The same for a block of a large file."""
        if before and before[0] not in self._apart and self._hash(before) == name:
            return before
        return self._blocks.get(name)

    def blocks_of(self, before: File | None) -> dict[int, Ref]:
        """The blocks that a large file had, by their place in it."""
        if before is None or before.chunker is None:
            return {}
        return {position: ref for ref, position, _ in layout(self._state, before)}

    def _add(self, file: File) -> None:
        if file.hash is not None and file.at is not None and file.at[0] not in self._apart:
            self._uses[file.at] += 1
            self._small.setdefault(file.hash, file.at)
        for ref in refs_of(file.blocks):
            if ref[0] not in self._apart:
                self._uses[ref] += 1
                self._blocks.setdefault(self._hash(ref), ref)

    def _remove(self, file: File) -> None:
        # The same content in another place may not be found any more: that costs space, no more.
        if (
            file.hash is not None
            and file.at is not None
            and self._is_last(file.at)
            and self._small.get(file.hash) == file.at
        ):
            del self._small[file.hash]
        for ref in refs_of(file.blocks):
            if self._is_last(ref) and self._blocks.get(self._hash(ref)) == ref:
                del self._blocks[self._hash(ref)]

    def _is_last(self, place: Place | Ref) -> bool:
        self._uses[place] -= 1
        if self._uses[place] > 0:
            return False
        del self._uses[place]
        return True

    def _hash(self, ref: Ref) -> str:
        return self._state.packs[ref[0]].blocks[ref[1]].hash


def _files(node: Node | None) -> Iterator[File]:
    if isinstance(node, File):
        yield node
    elif isinstance(node, Folder):
        for _, _, each in walk(node):
            if isinstance(each, File):
                yield each
