"""The disk of the store is really full: what fails says so, nothing is lost, and it goes on with room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, VolumeName, Volumes
from support.small_disk import fill, small_disk
from support.streams import until, until_folder_is_stored
from support.volume_engine import WEB, commit_files, run_on, tree_of, tree_on_disk

LARGE = os.urandom(2_000_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as place:
        yield place


@pytest.fixture
def volumes(disk: Path, tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(disk / "store"), tmp_path / "cache")


async def assert_whole(volumes: Volumes, disk: Path, folder: Path) -> None:
    assert await tree_of(volumes) == tree_on_disk(folder)
    assert (await volumes.check(WEB)).problems == ()
    assert [info.name for info in await volumes.list()] == ["web"]
    assert not list((disk / "store").rglob(".new-*"))  # half-written objects


@pytest.mark.parametrize("size", [1_000, 2_000_000], ids=["an entry", "a pack"])
async def test_a_commit_into_a_full_store_fails_clearly_and_can_be_made_when_there_is_room(
    volumes: Volumes, disk: Path, size: int
) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "b").write_bytes(LARGE[:size])
        filler = fill(disk)
        for _ in range(2):
            with pytest.raises(HutchError) as caught:
                await volumes.commit(lease, "run 2")
            assert caught.value.code == "store_full"
            assert str(disk) in caught.value.message
            assert "make room" in caught.value.hint
            assert await tree_of(volumes) == {"/a": b"1"}
        filler.unlink()
        assert await volumes.commit(lease, "run 2") is not None
        await assert_whole(volumes, disk, folder)
    async with run_on(volumes, "run 3") as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1", "/b": LARGE[:size]}


async def test_what_a_run_left_when_the_store_was_full_is_committed_by_the_next(
    volumes: Volumes, disk: Path
) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "b").write_bytes(LARGE)
        filler = fill(disk)
        with pytest.raises(HutchError, match="No space"):
            await volumes.commit(lease, "run 2")
    with pytest.raises(HutchError, match="No space"):
        async with run_on(volumes, "run 3"):
            pass
    assert await tree_of(volumes) == {"/a": b"1"}
    filler.unlink()
    async with run_on(volumes, "run 3") as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1", "/b": LARGE}
        await assert_whole(volumes, disk, folder)


async def test_a_stream_into_a_full_store_says_so_and_goes_on_when_there_is_room(
    volumes: Volumes, disk: Path
) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            (folder / "a").write_bytes(b"1")
            await until_folder_is_stored(volumes, folder)
            filler = fill(disk)
            (folder / "b").write_bytes(LARGE)
            await until(lambda: stream.status.problem is not None)
            assert "No space" in (stream.status.problem or "")
            filler.unlink()
            await until_folder_is_stored(volumes, folder)
            await until(lambda: stream.status.problem is None)
        assert await volumes.commit(lease, "run 1") is not None
        await assert_whole(volumes, disk, folder)


async def test_a_store_without_inodes_loses_nothing(volumes: Volumes, disk: Path) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "b").write_bytes(b"2")
        takers = [disk / f"taker-{number}" for number in range(os.statvfs(disk).f_ffree)]
        for taker in takers:
            taker.touch()
        with pytest.raises(HutchError) as caught:
            await volumes.commit(lease, "run 2")
        assert caught.value.code == "store_full"
        with pytest.raises(HutchError) as caught:
            await volumes.fork(WEB, VolumeName.parse("copy"))
        assert caught.value.code == "store_full"
        for taker in takers:
            taker.unlink()
        assert await volumes.commit(lease, "run 2") is not None
        await assert_whole(volumes, disk, folder)


async def test_a_full_store_can_be_read(volumes: Volumes, disk: Path) -> None:
    await commit_files(volumes, {"a": LARGE})
    await commit_files(volumes, {"a": b"small"})
    fill(disk)
    assert await tree_of(volumes, 1) == {"/a": LARGE}
    async with volumes.check_out_read_only(WEB, 1) as folder:
        assert tree_on_disk(folder) == {"/a": LARGE}
    assert (await volumes.check(WEB)).problems == ()
