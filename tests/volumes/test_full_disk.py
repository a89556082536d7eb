"""A disk that is really full: what can leave the cache leaves, the rest is told, and nothing is lost."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, Recovered, VolumeName, Volumes
from support.small_disk import fill, small_disk
from support.streams import until, until_folder_is_stored
from support.volume_engine import WEB, commit_files, program, run_on, tree_of, tree_on_disk

MB = 1_000_000
NAMES = [VolumeName.parse(name) for name in ("aa", "bb", "cc")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as place:
        yield place


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def volumes(store: DirectoryStore, disk: Path) -> Volumes:
    return Volumes(store, disk)


async def make_elsewhere(store: DirectoryStore, tmp_path: Path, files: dict[str, bytes]) -> None:
    elsewhere = Volumes(store, tmp_path / "elsewhere")
    for name in NAMES:
        await commit_files(elsewhere, files, name)


@pytest.mark.parametrize(
    "files",
    [
        {"a": os.urandom(3 * MB)},
        {f"f{number}": b"" for number in range(400)},
        {f"d{n}/f": b"" for n in range(200)},
    ],
    ids=["bytes", "inodes", "inodes of folders"],
)
async def test_a_check_out_on_a_full_disk_makes_others_leave(
    volumes: Volumes, store: DirectoryStore, tmp_path: Path, files: dict[str, bytes]
) -> None:
    await make_elsewhere(store, tmp_path, files)
    for name in (*NAMES, NAMES[0]):
        async with run_on(volumes, name=name) as (lease, folder):
            assert tree_on_disk(folder) == await tree_of(volumes, name=name)
            await volumes.commit(lease, "run")
        async with volumes.check_out_read_only(name) as reading:
            assert tree_on_disk(reading) == await tree_of(volumes, name=name)


async def test_no_room_at_all_is_told_with_place_and_bytes(
    volumes: Volumes, store: DirectoryStore, tmp_path: Path, disk: Path
) -> None:
    await make_elsewhere(store, tmp_path, {"a": os.urandom(3 * MB)})
    filler = fill(disk)
    for place in ("working", "snapshot"):
        with pytest.raises(HutchError) as caught:
            async with (
                run_on(volumes, name=NAMES[0])
                if place == "working"
                else volumes.check_out_read_only(NAMES[0])
            ):
                pass
        assert caught.value.code == "disk_full"
        assert str(disk) in caught.value.message
    filler.unlink()
    async with run_on(volumes, name=NAMES[0]) as (_, folder):
        assert tree_on_disk(folder) == await tree_of(volumes, name=NAMES[0])
    with pytest.raises(HutchError) as caught:
        async with (
            run_on(volumes, name=NAMES[1]),
            run_on(volumes, name=NAMES[2]),
            run_on(volumes, name=NAMES[0]),
        ):
            pass
    assert caught.value.code == "disk_full"
    assert "3000000 bytes were wanted" in caught.value.message


async def test_a_run_that_fills_the_disk_is_committed_all_the_same(
    volumes: Volumes, store: DirectoryStore, disk: Path
) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "work").write_bytes(b"done")
        filler = fill(disk)
        assert await volumes.commit(lease, "run 1") is not None
    assert await tree_of(volumes) == {"/work": b"done"}
    for again in (volumes, Volumes(store, disk)):
        with pytest.raises(HutchError) as caught:  # a run could not be told from what was there before
            async with run_on(again):
                pass
        assert caught.value.code == "disk_full"
    filler.unlink()
    async with run_on(volumes) as (lease, folder):
        assert tree_on_disk(folder) == {"/work": b"done"}
        assert await volumes.commit(lease, "run 2") is None
    assert (await volumes.info(WEB)).snapshot == 1


async def test_a_daemon_starts_on_a_full_disk_and_saves_what_was_left(
    volumes: Volumes, store: DirectoryStore, tmp_path: Path, disk: Path
) -> None:
    with program("sleep", str(tmp_path / "store"), str(disk)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
    fill(disk).chmod(0o600)
    (found,) = await volumes.recover()
    assert (found.name, found.conflict, found.problem) == ("web", None, None)
    assert await tree_of(volumes) == {"/work": b"of the sleeper"}
    assert (await volumes.cache_use()).is_full
    (again,) = await Volumes(store, disk).recover()  # the disk could not take the note that it was saved
    assert again == Recovered("web", None)
    assert (await volumes.info(WEB)).snapshot == found.snapshot


async def test_a_stream_tells_of_a_full_disk_and_goes_on(
    volumes: Volumes, store: DirectoryStore, disk: Path
) -> None:
    """A database is copied to be looked at as of one instant: there is no room for the copy."""
    await commit_files(volumes, {"a": b"1", "db": bytes(500_000), "db-wal": bytes(100_000)})
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 2") as stream:
            filler = fill(disk)
            for name in ("db", "db-wal", "a"):
                with (folder / name).open("r+b") as file:
                    file.write(b"2")
            await until(lambda: "No space left" in (stream.status.problem or ""))
            assert not stream.status.has_ended
            filler.unlink()
            await until_folder_is_stored(volumes, folder)
            fill(disk)
            with (folder / "db").open("r+b") as file:
                file.write(b"3")
        assert await volumes.commit(lease, "run 2")
        expected = tree_on_disk(folder)
    assert await tree_of(Volumes(store, disk)) == expected
