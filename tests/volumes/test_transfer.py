"""Whole folders into and out of a volume, without a working folder: one commit, on every store."""

import os
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import FaultyStore, MemoryStore, ObjectStore, StoreError, Volumes
from support.volume_engine import WEB, commit_files, run_on, tree_of


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


async def put(volumes: Volumes, path: str, files: dict[str, bytes], *, replaces: bool = True) -> int | None:
    """Returns the number of the snapshot; None: nothing changed."""
    async with volumes.lease(WEB, "put", create=True) as lease, volumes.scratch() as folder:
        fill(folder, files)
        made = await volumes.put_folder(lease, path, folder, replaces=replaces)
        return made.number if made else None


async def test_a_folder_joins_what_a_run_has_left_and_the_next_run_finds_both(
    store: ObjectStore, tmp_path: Path
) -> None:
    volumes = Volumes(store, tmp_path / "cache")
    large = os.urandom(3 << 20)
    await commit_files(volumes, {"a/kept": b"kept", "a/replaced": b"old", "b": b"b"})
    assert await put(volumes, "a", {"replaced": b"new", "deep/large": large}) == 2
    assert await put(volumes, "a", {"replaced": b"new"}) == 3  # its time is another
    async with run_on(volumes) as (_, folder):
        assert (folder / "a/kept").read_bytes() == b"kept"
        assert (folder / "a/replaced").read_bytes() == b"new"
        assert (folder / "a/deep/large").read_bytes() == large
    async with volumes.folder(WEB, "/a/deep", 2) as copy:
        assert [(each.name, each.read_bytes() == large) for each in copy.iterdir()] == [("large", True)]
    assert (await volumes.check(WEB)).is_whole
    assert list((tmp_path / "cache/.scratch").iterdir()) == []


async def test_many_files_of_one_snapshot_are_read_one_by_one(store: ObjectStore, tmp_path: Path) -> None:
    volumes = Volumes(store, tmp_path / "cache")
    files = {f"d/{n:03}": b"%d" % n * 100 for n in range(50)} | {"large": os.urandom(1 << 20), "empty": b""}
    await put(volumes, "/", files)
    contents = await volumes.contents(WEB, 1)
    for path, data in files.items():
        assert await contents.read(path.encode(), 1 << 21) == data
    assert await contents.read(b"/large", 10) == files["large"][:10]
    assert await contents.read(b"d", 10) is None
    assert await contents.read(b"nothing", 10) is None


@pytest.mark.parametrize(
    ("path", "files", "replaces", "code"),
    [
        ("a", {"f": b""}, True, "not_a_folder"),
        ("/", {"a/f": b""}, True, "path_exists"),
        ("/", {"d": b""}, True, "path_exists"),
        ("d", {"f": b"other"}, False, "path_exists"),
        ("../d", {"f": b""}, True, "path_invalid"),
    ],
)
async def test_what_would_lose_something_is_refused(
    tmp_path: Path, path: str, files: dict[str, bytes], replaces: bool, code: str
) -> None:
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    await commit_files(volumes, {"a": b"file", "d/f": b"file"})
    before = await tree_of(volumes)
    with pytest.raises(HutchError) as refused:
        await put(volumes, path, files, replaces=replaces)
    assert refused.value.code == code
    assert await tree_of(volumes) == before


async def test_a_store_that_fails_at_any_write_leaves_all_or_nothing(tmp_path: Path) -> None:
    files = {"big": os.urandom(1 << 20), "small": b"small"}
    for number in range(1, 20):
        inner = MemoryStore()
        volumes = Volumes(inner, tmp_path / f"cache-{number}")
        await commit_files(volumes, {"before": b"1"})
        faulty = FaultyStore(inner, fail_at=number)
        with suppress(StoreError, HutchError):
            await put(Volumes(faulty, tmp_path / f"other-{number}"), "/", files)
        tree = await tree_of(volumes)
        assert tree["/before"] == b"1"
        assert [name in tree for name in ("/big", "/small")] in ([True, True], [False, False])
        if faulty.writes < number:
            return
    raise AssertionError("it makes more writes than one would think")


async def test_what_a_dead_process_was_carrying_is_removed_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "cache/.scratch/0123456789abcdef/new"
    left.mkdir(parents=True)
    (left / "file").write_text("half")
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    async with volumes.scratch() as mine:
        (mine / "file").write_text("at work")
        await volumes.recover()
        assert not left.exists()
        assert (mine / "file").read_text() == "at work"


async def test_readers_do_not_wait_while_something_is_put(tmp_path: Path) -> None:
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    await commit_files(volumes, {"a": b"1"})
    async with volumes.lease(WEB, "put") as lease, volumes.scratch() as folder:
        fill(folder, {"a": b"2"})
        with anyio.fail_after(60):
            assert (await tree_of(volumes))["/a"] == b"1"
        await volumes.put_folder(lease, "/", folder)
    assert (await tree_of(volumes))["/a"] == b"2"
