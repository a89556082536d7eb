"""A look at some places of a folder comes to the same as a look at all of it."""

import os
import random
import shutil
from pathlib import Path

import pytest

from hutch.volumes import VolumeName
from hutch.volumes.folder.findings import LookWiderError
from hutch.volumes.folder.scan import scan
from hutch.volumes.folder.spots import spots_of
from hutch.volumes.log.state import State
from hutch.volumes.tree.known import Known
from hutch.volumes.tree.nodes import EMPTY, File, Folder, Link, Node
from hutch.volumes.tree.packs import Block, Pack
from hutch.volumes.tree.patches import difference


def looked(root: Path, known: Folder, paths: list[str] | None) -> Folder:
    """The tree that a look finds; a file's content is told by its inode and time alone."""
    fd = os.open(root, os.O_RDONLY)
    try:
        spot = None if paths is None else spots_of(map(os.fsencode, paths))
        findings = scan(fd, known, spot=spot, should_stop=lambda: False)
    finally:
        os.close(fd)
    for each in findings.pending:
        status = each.status
        stat = findings.trusted(status)
        each.children[each.trail.name] = File(each.mode, status.st_mtime_ns, status.st_size, stat=stat)
    assert findings.tree is not None
    return findings.tree


class Tree:
    """A folder that is changed at random, and the hints that a watcher would give."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.rng = random.Random(seed)
        self.hints: list[str] = []

    def some(self, *, folders: bool) -> Path | None:
        found = [p for p in self.root.rglob("*") if not p.is_symlink() and p.is_dir() == folders]
        return self.rng.choice(found) if found else None

    def change(self) -> None:
        folder = self.some(folders=True) or self.root
        if self.rng.random() < 0.3:
            folder = self.root
        name = folder / self.rng.choice("abcdefgh")
        {
            "write": self._write,
            "make": self._make,
            "remove": self._remove,
            "move": self._move,
            "link": self._link,
            "mode": self._mode,
        }[self.rng.choice(["write", "write", "write", "make", "make", "remove", "move", "link", "mode"])](
            name
        )

    def _hint(self, path: Path) -> None:
        self.hints.append(str(path.relative_to(self.root)))

    def _write(self, path: Path) -> None:
        if not path.is_dir() and not path.is_symlink():
            path.write_bytes(os.urandom(self.rng.randrange(20)))
            self._hint(path)

    def _make(self, path: Path) -> None:
        if not os.path.lexists(path):
            (path / "deeper/still").mkdir(parents=True)
            (path / "deeper/file").write_bytes(b"in a new folder")
            self._hint(path)  # and nothing of what is in it

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        self._hint(path)

    def _move(self, path: Path) -> None:
        source = self.some(folders=self.rng.random() < 0.5)
        if source and not os.path.lexists(path) and source not in path.parents:
            source.rename(path)
            self._hint(source)
            self._hint(path)

    def _link(self, path: Path) -> None:
        if not os.path.lexists(path):
            path.symlink_to(self.rng.choice(["/", "..", "nowhere"]))
            self._hint(path)

    def _mode(self, path: Path) -> None:
        if path.exists() and not path.is_symlink():
            path.chmod(self.rng.choice([0o700, 0o755, 0o777]))
            self._hint(path)


@pytest.mark.parametrize("seed", range(12))
def test_looking_where_something_was_heard_finds_all_that_changed(tmp_path: Path, seed: int) -> None:
    tree = Tree(tmp_path / "root", seed)
    tree.root.mkdir()
    known = looked(tree.root, EMPTY, None)
    for _ in range(40):
        for _ in range(tree.rng.randrange(1, 6)):
            tree.change()
        known = looked(tree.root, known, tree.hints)
        tree.hints.clear()
        fresh = looked(tree.root, EMPTY, None)
        assert list(difference(known, fresh)) == []
        assert_in_order(known)


def assert_in_order(folder: Folder) -> None:
    assert list(folder.children) == sorted(folder.children)
    for node in folder.children.values():
        if isinstance(node, Folder):
            assert_in_order(node)


def test_a_look_at_one_place_leaves_everything_else_as_it_is(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}/f").write_bytes(b"1")
    os.sync()
    known = looked(tmp_path, EMPTY, None)
    (tmp_path / "d3/f").write_bytes(b"22")
    (tmp_path / "d4/f").write_bytes(b"22")
    found = looked(tmp_path, known, ["d3/f"])
    changed = [name for name, node in found.children.items() if node is not known.children[name]]
    assert changed == [b"d3"]
    assert looked(tmp_path, found, ["d3/f"]).children[b"d5"] is known.children[b"d5"]


def test_a_file_with_several_names_is_looked_for_everywhere(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with pytest.raises(LookWiderError):
        looked(tmp_path, EMPTY._replace(stat=b""), ["a"])


def tree_with(files: dict[bytes, tuple[str, int]]) -> Folder:
    children: dict[bytes, Node] = {
        name: File(0o644, 0, 1, hash=content, at=(1, block, 0)) for name, (content, block) in files.items()
    }
    return Folder(0o755, 0, (), {b"d": Folder(0o755, 0, (), children), b"link": Link(0, b"d")})


def test_only_content_of_the_newest_tree_is_used_again() -> None:
    pack = Pack(1, "packs/x", 1, tuple(Block(0, 1, 1, str(number)) for number in range(9)))
    state = State(VolumeName.parse("web"), "id", packs={1: pack})
    rng = random.Random(7)
    known = Known(state)
    files: dict[bytes, tuple[str, int]] = {}
    for _ in range(300):
        blocks = {bytes([97 + n]): rng.randrange(9) for n in range(rng.randrange(6))}
        files = {name: (f"content {block % 5}", block) for name, block in blocks.items()}
        state = State(VolumeName.parse("web"), "id", packs={1: pack}, tree=tree_with(files))
        known.follow(state)
        living = {(content, (1, block, 0)) for content, block in files.values()}
        for number in range(5):
            place = known.small(f"content {number}", None)
            assert place is None or (f"content {number}", place) in living
    fresh = Known(state)
    for content in {content for content, _ in files.values()}:
        assert fresh.small(content, None) is not None
