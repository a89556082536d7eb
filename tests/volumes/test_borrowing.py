"""What lies on this host already is not asked of the store again, and is believed by its hash alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hutch.volumes import CountingStore, DirectoryStore, VolumeName, Volumes
from support.volume_engine import WEB, commit_files, listing, run_on, tree_of, tree_on_disk

FILES = {f"d{number % 7}/f{number}": os.urandom(10_000) for number in range(100)} | {
    "large": os.urandom(2_000_000),
    "log": bytes(range(256)) * 4000,
}


async def test_forks_and_readers_of_one_snapshot_ask_the_store_once(tmp_path: Path) -> None:
    store = CountingStore(DirectoryStore(tmp_path / "store"))
    await commit_files(Volumes(store, tmp_path / "elsewhere"), FILES)
    volumes = Volumes(store, tmp_path / "cache")
    forks = [VolumeName.parse(f"fork-{number}") for number in range(3)]
    for fork in forks:
        await volumes.fork(WEB, fork)
    async with run_on(volumes, name=forks[0]) as (_, first):
        assert store.received > 2_900_000
        store.received = 0
        async with run_on(volumes, name=forks[1]) as (_, second):  # while the first is at work
            assert listing(second) == listing(first)
        async with volumes.check_out_read_only(WEB) as reading:
            assert listing(reading) == listing(first)
    assert store.received < 60_000  # trees
    async with run_on(volumes, name=forks[0]) as (lease, folder):
        (folder / "new").write_bytes(os.urandom(500_000))
        await volumes.commit(lease, "run")
    store.received = 0
    async with volumes.check_out_read_only(forks[0]) as reading:
        assert tree_on_disk(reading) == await tree_of(
            Volumes(DirectoryStore(tmp_path / "store"), tmp_path), name=forks[0]
        )
    assert store.received < 100_000


def edit(path: Path) -> None:
    """With its time put back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"not what it was")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def shorten(path: Path) -> None:
    os.truncate(path, 5000)


@pytest.mark.parametrize("change", [edit, fifo, link, shorten, Path.unlink])
async def test_what_a_run_at_work_made_of_its_files_is_not_taken_for_theirs(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    store = DirectoryStore(tmp_path / "store")
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, FILES)
    async with run_on(volumes) as (_, folder):
        for name in ("d0/f0", "d1/f50", "large", "log"):
            change(folder / name)
        async with volumes.check_out_read_only(WEB) as reading:
            files = {path: data for path, data in tree_on_disk(reading).items() if data is not None}
    assert files == {f"/{name}": data for name, data in FILES.items()}
