"""A read-only check-out takes the tree from this host's cache, where the store says that it is still that."""

from pathlib import Path

import pytest

from hutch.volumes import CountingStore, MemoryStore, Volumes
from support.volume_engine import WEB, commit_files, copy_of, tree_on_disk

FILES = {f"folder-{number % 9}/file-{number}": b"%d" % number for number in range(1500)}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def received(store: MemoryStore, cache: Path, at: int | None = None) -> tuple[int, dict[str, object]]:
    """What a daemon that was just started asks of the store for a read-only check-out, and what it gets."""
    counting = CountingStore(store)
    async with Volumes(counting, cache).check_out_read_only(WEB, at) as folder:
        return counting.received, {
            path: data for path, data in tree_on_disk(folder).items() if data is not None
        }


async def test_what_was_read_here_once_is_not_read_again(store: MemoryStore, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for files in (FILES, {"more": b"1"}):
        await commit_files(Volumes(store, tmp_path / "writer"), files)
    first, tree = await received(store, cache)
    assert len(tree) == 1501
    second, same = await received(store, cache)
    assert same == tree
    assert second < 2000 < 20_000 < first
    # What came since is asked for, and no more.
    await commit_files(Volumes(store, tmp_path / "writer"), {"new": b"1"})
    third, newer = await received(store, cache)
    assert newer == tree | {"/new": b"1"}
    assert third < 5000


async def test_the_working_folder_of_this_host_serves_as_well(store: MemoryStore, tmp_path: Path) -> None:
    await commit_files(Volumes(store, tmp_path / "cache"), FILES)
    asked, tree = await received(store, tmp_path / "cache")
    assert (len(tree), asked < 2000) == (1500, True)
    await commit_files(Volumes(store, tmp_path / "cache"), {"new": b"1"})
    asked, tree = await received(store, tmp_path / "cache", 2)
    assert (len(tree), asked < 5000) == (1501, True)


async def test_a_store_that_was_set_back_is_not_taken_for_what_it_was(
    store: MemoryStore, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    await commit_files(Volumes(store, tmp_path / "writer"), {"a": b"1"})
    backup = await copy_of(store)
    await commit_files(Volumes(store, tmp_path / "writer"), {"a": b"2"})
    for at in (None, 2):
        assert (await received(store, cache, at))[1] == {"/a": b"2"}
    await commit_files(Volumes(backup, tmp_path / "after"), {"a": b"other"})
    for at in (2, None):
        assert (await received(backup, cache, at))[1] == {"/a": b"other"}
