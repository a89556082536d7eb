"""The folders of all volumes on a host share a bound: what was used longest ago leaves, work never does."""

import json
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from hutch.volumes import DirectoryStore, VolumeName, Volumes
from hutch.volumes.folder.findings import RACY_NS
from support.fork_server import fork_server
from support.volume_engine import WEB, HandClock, commit_files, run_on, tree_of, tree_on_disk
from support.volume_model import Cable

MB = 1_000_000
NAMES = [VolumeName.parse(name) for name in ("aa", "bb", "cc")]


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def volumes(store: DirectoryStore, tmp_path: Path) -> Volumes:
    return Volumes(store, tmp_path / "cache", cache_max_bytes=5 * MB)


def folders(tmp_path: Path) -> list[str]:
    """The names of volumes that have a working folder."""
    return sorted(path.parent.name for path in (tmp_path / "cache").glob("*/*/tree"))


def in_bin(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache/.evicted").iterdir() if path.name != "lock"]


async def trim(volumes: Volumes, until: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(volumes.tend_cache)
            while not until():
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


async def test_what_was_used_longest_ago_leaves_in_the_background(volumes: Volumes, tmp_path: Path) -> None:
    for name in NAMES:
        await commit_files(volumes, {"a": os.urandom(2 * MB)}, name)
    async with run_on(volumes, name=NAMES[0]):
        pass  # the oldest is used again: unchanged, it needs no room
    assert folders(tmp_path) == ["aa", "bb", "cc"]
    await trim(volumes, lambda: folders(tmp_path) == ["aa", "cc"] and not in_bin(tmp_path))
    use = await volumes.cache_use()
    assert (use.folders, use.max_bytes, use.set_aside) == (2, 5 * MB, ())
    assert 4 * MB < use.used_bytes < 4.1 * MB
    async with run_on(volumes, name=NAMES[1]) as (lease, folder):
        assert await volumes.commit(lease, "again") is None
        assert tree_on_disk(folder) == await tree_of(volumes, name=NAMES[1])


async def test_a_check_out_that_needs_room_gets_it_first(volumes: Volumes, tmp_path: Path) -> None:
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    for name in NAMES:
        await commit_files(elsewhere, {"a": os.urandom(2 * MB)}, name)
    for name in NAMES:
        async with run_on(volumes, name=name) as (lease, _):
            await volumes.commit(lease, "run")
    assert folders(tmp_path) == ["bb", "cc"]


async def test_a_sparse_file_counts_by_what_is_stored(volumes: Volumes, tmp_path: Path) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "sparse").touch()
        os.truncate(folder / "sparse", 1 << 40)
        (folder / "a").write_bytes(bytes(MB))
        os.link(folder / "a", folder / "b")
        await volumes.commit(lease, "run")
    assert MB < (await volumes.cache_use()).used_bytes < 1.05 * MB
    await commit_files(volumes, {"a": bytes(MB)}, NAMES[0])
    async with volumes.check_out_read_only(WEB):
        assert 3 * MB < (await volumes.cache_use()).used_bytes < 3.2 * MB  # nobody had to leave
    assert folders(tmp_path) == ["aa", "web"]


async def change_by_hand(_: Volumes, tmp_path: Path) -> None:
    (tmp_path / "cache/default/web/tree/by-hand").write_bytes(b"work")


async def lose_the_index(_: Volumes, tmp_path: Path) -> None:
    (tmp_path / "cache/default/web/index").unlink()


async def power_cut(_: Volumes, tmp_path: Path) -> None:
    """The mark of a run that had begun is an older one again."""
    mark = tmp_path / "cache/default/web/mark"
    fields = json.loads(mark.read_text())
    mark.write_text(json.dumps(fields | {"process": fields["process"] | {"boot": "the one before"}}))
    (tmp_path / "cache/default/web/tree/a").write_bytes(b"work")


async def fail(volumes: Volumes, _: Path) -> None:
    with suppress(ZeroDivisionError):
        async with run_on(volumes) as (_lease, folder):
            (folder / "a").write_bytes(b"work")
            raise ZeroDivisionError


@pytest.mark.parametrize("happening", [change_by_hand, lose_the_index, power_cut, fail])
async def test_what_may_not_be_committed_never_leaves(
    store: DirectoryStore, tmp_path: Path, happening: Callable[[Volumes, Path], Awaitable[None]]
) -> None:
    volumes = Volumes(store, tmp_path / "cache", cache_max_bytes=0)
    await commit_files(volumes, {"a": b"1"})
    await happening(volumes, tmp_path)
    before = tree_on_disk(tmp_path / "cache/default/web/tree")
    await commit_files(volumes, {"a": b"2"}, NAMES[0])
    await trim(volumes, lambda: folders(tmp_path) == ["web"])
    assert tree_on_disk(tmp_path / "cache/default/web/tree") == before


async def test_after_a_restart_of_the_machine_an_untouched_folder_may_leave(
    store: DirectoryStore, tmp_path: Path
) -> None:
    volumes = Volumes(store, tmp_path / "cache", cache_max_bytes=0)
    await commit_files(volumes, {"a": b"1"})
    await power_cut(volumes, tmp_path)
    (tmp_path / "cache/default/web/tree/a").write_bytes(b"1")
    os.utime(tmp_path / "cache/default/web/tree/a", ns=(await mtime_of(volumes, "/a"),) * 2)
    await trim(volumes, lambda: folders(tmp_path) == [])


async def mtime_of(volumes: Volumes, path: str) -> int:
    (found,) = [entry async for entry in volumes.tree(WEB) if entry.path == path]
    return found.mtime_ns


async def test_a_folder_in_use_never_leaves_and_neither_does_a_readers(
    store: DirectoryStore, tmp_path: Path
) -> None:
    volumes = Volumes(store, tmp_path / "cache", cache_max_bytes=0)
    await commit_files(volumes, {"a": b"1"}, NAMES[0])
    async with run_on(volumes) as (lease, folder), volumes.check_out_read_only(NAMES[0]) as reading:
        (folder / "a").write_bytes(b"1")
        await volumes.commit(lease, "run")
        await trim(
            Volumes(store, tmp_path / "cache", cache_max_bytes=0), lambda: folders(tmp_path) == ["web"]
        )
        assert tree_on_disk(reading) == {"/a": b"1"}
        assert tree_on_disk(folder) == {"/a": b"1"}
    await trim(volumes, lambda: folders(tmp_path) == [])
    assert not list((tmp_path / "cache").glob("*/*/*/*/tree"))  # nor the reader's


async def test_what_was_set_aside_stays_and_is_told(
    store: DirectoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volumes = Volumes(store, tmp_path / "cache", cache_max_bytes=0)
    await commit_files(volumes, {"a": bytes(MB)})
    (tmp_path / "cache/default/web/mark").write_text("{")
    await commit_files(volumes, {"a": b"2"})
    await trim(volumes, lambda: folders(tmp_path) == [])
    (aside,) = (await volumes.cache_use()).set_aside
    assert (Path(aside.path) / "a").read_bytes() == bytes(MB)
    assert MB < aside.stored_bytes < 1.05 * MB
    assert aside.path in caplog.text


async def test_what_a_killed_process_left_in_the_bin_is_removed(volumes: Volumes, tmp_path: Path) -> None:
    left = tmp_path / "cache/.evicted/0123"
    (left / "deep/er").mkdir(parents=True)
    (left / "deep/er/file").write_bytes(b"1")
    await trim(volumes, lambda: not left.exists())


async def test_what_a_killed_restore_left_is_removed(volumes: Volumes, tmp_path: Path) -> None:
    await commit_files(volumes, {"a": b"1"})
    place = tmp_path / "cache/default/web"
    (place / "tree").rename(place / "new")
    async with volumes.check_out_read_only(WEB) as reading:
        other = reading.parent.with_name(f"{7:020}")
        (other / "new").mkdir(parents=True)
        await trim(volumes, lambda: not place.joinpath("new").exists() and not other.exists())
        assert tree_on_disk(reading) == {"/a": b"1"}
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1"}


async def test_what_a_dead_run_left_unchanged_leaves_after_the_next(
    store: DirectoryStore, tmp_path: Path
) -> None:
    clock, cable = HandClock(), Cable(store)
    volumes = Volumes(store, tmp_path / "cache", cache_max_bytes=0, clock=clock)
    await commit_files(volumes, {"a": b"1"})
    await anyio.sleep(2 * RACY_NS / 1e9)
    async with run_on(volumes) as (lease, _):  # what its index tells is old enough to be trusted
        assert await volumes.commit(lease, "run") is None
    async with run_on(Volumes(cable, tmp_path / "cache", clock=clock), "dead"):
        cable.is_cut = True
    await volumes.info(WEB)
    clock.move(1000)  # its lease has run out, and the next one fences it: an entry without a change
    async with run_on(volumes) as (lease, _):
        assert await volumes.commit(lease, "run") is None
    await trim(volumes, lambda: folders(tmp_path) == [])


async def test_a_tree_that_was_removed_by_hand_is_restored(volumes: Volumes, tmp_path: Path) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with volumes.check_out_read_only(WEB):
        pass
    for tree in (tmp_path / "cache").rglob("tree"):
        (tree / "a").unlink()
        tree.rmdir()
    async with run_on(volumes) as (_, folder), volumes.check_out_read_only(WEB) as reading:
        assert tree_on_disk(folder) == tree_on_disk(reading) == {"/a": b"1"}


@pytest.mark.slow  # two processes, killed again and again
@pytest.mark.timeout(300)
async def test_processes_that_race_and_are_killed_never_see_half_a_folder(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    volumes = Volumes(DirectoryStore(store), cache, cache_max_bytes=0)
    for name in NAMES:
        await commit_files(volumes, {f"d{n}/f{n}": b"%d" % n for n in range(100)}, name)
    rng = random.Random(5)
    with fork_server() as forks:
        for _ in range(8):
            both = [forks.start(tmp_path / f"said-{n}", "evict", str(store), str(cache)) for n in range(2)]
            for process in both:
                await process.until(bool)
            await anyio.sleep(rng.random() * 0.4)  # the instant is what is tested
            for process in both:
                process.kill()
                assert process.end() == -9, "it failed by itself: its traceback is in the captured output"
                assert {" ".join(words) for words in process.said()} == {"whole"}
    await volumes.recover()
    await trim(volumes, lambda: folders(tmp_path) == [] and not in_bin(tmp_path))
    for name in NAMES:
        assert [snapshot.number for snapshot in await volumes.log(name)][-1:] == [1]
        assert (await volumes.info(name)).files == 100
    assert not [info.name for info in await volumes.list() if "@" in info.name]
