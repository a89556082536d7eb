"""The format of version 1 does not change: a volume written once is read for ever."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from hutch.volumes import DirectoryStore, FileRead, VolumeName, Volumes
from hutch.volumes.failures import DamagedError
from hutch.volumes.log.codec import ENTRY, opened, sealed
from hutch.volumes.tree.node_lines import node_line, nodes_of
from hutch.volumes.tree.nodes import File, Folder, Link, Node
from hutch.volumes.tree.patches import applied, difference
from support.volume_engine import WEB, keys_of, run_on, tree_of, tree_on_disk

FORK, UNTOUCHED = VolumeName.parse("fork"), VolumeName.parse("untouched")
GOLDEN = Path(__file__).parent / "golden/v1"
LARGE = random.Random(1).randbytes(80_000) + b"tail" * 60_000
TIME_NS = 1_700_000_000_123_456_789


@pytest.fixture
def golden(tmp_path: Path) -> Volumes:
    subprocess.run(["cp", "-r", GOLDEN, tmp_path / "store"], check=True)
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


async def test_a_volume_of_version_1_is_whole(golden: Volumes) -> None:
    report = await golden.check(WEB)
    assert (report.problems, report.snapshot) == ((), 67)
    for name in (FORK, UNTOUCHED):
        assert (await golden.check(name)).problems == ()


async def test_history_and_forks_of_version_1_are_read(golden: Volumes) -> None:
    log = await golden.log(WEB, 100)
    assert [(each.number, each.tags) for each in log] == [
        (67, ()),
        (66, ()),
        (65, ()),
        (2, ()),
        (1, ("first",)),
    ]
    for name, content in ((FORK, b"of the fork\n"), (UNTOUCHED, b"changed\n")):
        read = await golden.read(name, "/folder/same-as-text")
        large = await golden.read(name, "/large")
        assert isinstance(read, FileRead)
        assert isinstance(large, FileRead)
        assert (read.data, large.data) == (content, LARGE)
    assert [info.name for info in await golden.list()] == ["fork", "untouched", "web"]
    assert [info.name for info in await golden.list(removed=True)] == ["gone"]
    stat = await golden.stat(WEB)
    assert (stat.snapshots, stat.forks) == (5, 3)


async def test_a_volume_of_version_1_is_read(golden: Volumes) -> None:
    first = {entry.path: entry async for entry in golden.tree(WEB, 1)}
    assert {path: (entry.kind, entry.mode, entry.size, entry.target) for path, entry in first.items()} == {
        "/empty": ("file", 0o644, 0, None),
        "/empty-folder": ("folder", 0o700, 0, None),
        "/folder": ("folder", 0o755, 0, None),
        "/folder/inner": ("file", 0o644, 6, None),
        "/folder/same-as-text": ("file", 0o644, 6, None),
        "/large": ("file", 0o644, 320_000, None),
        "/link": ("link", 0o777, 0, "../outside"),
        "/not-utf8-%FF": ("file", 0o644, 6, None),
        "/program": ("file", 0o755, 10, None),
        "/sparse": ("file", 0o644, 1 << 30, None),
        "/text": ("file", 0o644, 6, None),
    }
    assert {entry.mtime_ns for entry in first.values()} == {TIME_NS}
    large = await golden.read(WEB, "/large", at=1)
    island = await golden.read(WEB, "/sparse", offset=(1 << 29) - 2, limit=10)
    assert isinstance(large, FileRead)
    assert isinstance(island, FileRead)
    assert (large.data, island.data) == (LARGE, b"\0\0island\0\0")
    count = await golden.read(WEB, "/count")
    text = await golden.read(WEB, "/folder/same-as-text", at=2)
    assert isinstance(count, FileRead)
    assert isinstance(text, FileRead)
    assert (count.data, text.data) == (b"64\n", b"changed\n")


async def test_a_volume_of_version_1_is_restored_and_written_on(golden: Volumes) -> None:
    async with run_on(golden) as (lease, folder):
        assert (folder / "text").samefile(folder / "folder/same-as-text")
        assert os.getxattr(folder / "program", "user.origin") == b"\x00\xff"
        assert (folder / "sparse").stat().st_blocks < 100
        (folder / "sparse").unlink()
        (folder / "new").write_bytes(b"new")
        assert await golden.commit(lease, "on") is not None
        assert tree_on_disk(folder) == {
            path.replace("%FF", os.fsdecode(b"\xff")): data for path, data in (await tree_of(golden)).items()
        }


@pytest.mark.usefixtures("golden")
async def test_objects_are_as_the_document_says(tmp_path: Path) -> None:
    """Read with nothing of ours but the layout in docs/volume-format.md."""
    store = DirectoryStore(tmp_path / "store")
    line, proof, rest = (await store.get("leases/default/web"))[0].split(b"\n")
    assert (proof.decode(), rest) == (blake3(line).hexdigest(), b"")
    lease = json.loads(line)
    folder = f"volumes/default/web/{lease['volume']}"
    log = sorted(await keys_of(store, f"{folder}/log/"))
    parent = None
    for number, key in enumerate(log, 1):
        data, _ = await store.get(key)
        assert data[:9] == b"hutchlog\1"
        assert data[9:41] == blake3(data[:9] + data[41:]).digest()
        inline = int.from_bytes(data[41:45], "little")
        header, *nodes = zstandard.ZstdDecompressor().decompress(data[45 + inline :]).decode().split("\n")
        told = json.loads(header)
        assert (told["format"], told["number"], told["parent"]) == (1, number, parent)
        assert json.loads(nodes[0])["depth"] == 0
        parent = data[9:41].hex()
    (pack,) = await keys_of(store, f"{folder}/packs/")
    data, _ = await store.get(pack)
    assert pack.endswith(blake3(data).hexdigest())
    length = int.from_bytes(data[-12:-8], "little")
    footer = json.loads(zstandard.ZstdDecompressor().decompress(data[-12 - length : -12]))
    for offset, stored, size, name in footer["blocks"]:
        block = data[offset : offset + stored]
        content = block if stored == size else zstandard.ZstdDecompressor().decompress(block)
        assert blake3(content).hexdigest() == name
    assert lease["head"] == {"number": 67, "hash": parent}


NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda name: name not in (b".", b"..") and not {0, 47} & set(name)
)
TIMES = st.integers(-(2**62), 2**62)
XATTRS = st.lists(st.tuples(NAMES, st.binary(max_size=9)), max_size=2).map(tuple)
SMALL = {"hash": st.just("0b" * 32), "at": st.just((3, 1, 7)), "blocks": st.just(()), "chunker": st.none()}
LARGE_ONES = {
    "hash": st.none(),
    "at": st.none(),
    "blocks": st.lists(st.tuples(*[st.integers(0, 99)] * 3), max_size=3).map(tuple),
    "chunker": st.just("fixed-256k"),
}
EVERY = {"mode": st.integers(0, 0o1777), "mtime": TIMES, "size": st.integers(0, 2**60), "xattrs": XATTRS}
FILES = st.one_of(
    st.builds(File, **EVERY, **SMALL, data=st.none(), inode=st.integers(0, 9), stat=st.none()),
    st.builds(File, **EVERY, **LARGE_ONES, data=st.just(((0, 5),)), inode=st.just(0), stat=st.none()),
)
TARGETS = st.binary(min_size=1, max_size=30).filter(lambda target: b"\0" not in target)
LINKS = st.builds(Link, mtime=TIMES, target=TARGETS)


def folders(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Folder]:
    inside = st.dictionaries(NAMES, children, max_size=4).map(lambda found: dict(sorted(found.items())))
    return st.builds(
        Folder, mode=st.integers(0, 0o1777), mtime=TIMES, xattrs=XATTRS, children=inside, stat=st.none()
    )


TREES = folders(st.recursive(st.one_of(FILES, LINKS), folders, max_leaves=12))


@settings(deadline=None)
@given(TREES, TREES)
def test_a_patch_that_was_encoded_turns_one_tree_into_the_other(old: Folder, new: Folder) -> None:
    for base in (None, old, new):
        lines = [node_line(step.depth, step.name, step.new) for step in difference(base, new)]
        data, name = sealed(ENTRY, {"any": "header"}, lines)
        entry = opened(ENTRY, data, "it")
        assert (entry.hash, entry.header) == (name, {"any": "header"})
        if base is new:
            assert lines == []
        elif base is None or lines:
            result = applied(base, nodes_of(entry.lines, "it"))
            assert result == new
            assert next(difference(result, new), None) is None
        else:
            assert base == new


@settings(deadline=None)
@given(TREES, st.data())
def test_a_changed_byte_of_an_entry_is_noticed(tree: Folder, data: st.DataObject) -> None:
    lines = [node_line(step.depth, step.name, step.new) for step in difference(None, tree)]
    entry = bytearray(sealed(ENTRY, {}, lines, b"inline")[0])
    entry[data.draw(st.integers(0, len(entry) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedError):
        opened(ENTRY, bytes(entry), "it")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\0", "../../etc/passwd"])
def test_a_reserved_name_is_refused_before_anything_is_made_of_it(name: str) -> None:
    lines = [node_line(0, b"", Folder(0o755, 0, (), {})), node_line(1, name.encode(), File(0o644, 0, 0))]
    with pytest.raises(DamagedError):
        list(nodes_of(lines, "it"))


@pytest.mark.parametrize("depths", [[], [1], [0, 0], [0, 2], [0, 1, 3]])
def test_lines_that_are_no_tree_are_refused(depths: list[int]) -> None:
    patch = [(depth, b"x" if depth else b"", Folder(0o755, 0, (), {})) for depth in depths]
    with pytest.raises(ValueError, match=r"root|folder"):
        applied(None, patch)
