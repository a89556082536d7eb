"""A volume through the engine's door: leased, checked out, committed, read, written."""

import os
from pathlib import Path

import pytest

from hutch.volumes import (
    CountingStore,
    MemoryStore,
    ObjectStore,
    VolumeName,
    Volumes,
)
from support.volume_engine import WEB, Host, commit_files, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(store: ObjectStore, tmp_path: Path) -> Volumes:
    return Volumes(store, tmp_path / "cache")


async def test_a_commit_is_a_snapshot_that_tells_what_changed(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "src").mkdir()
        (folder / "src/a.py").write_bytes(b"one")
        (folder / "link").symlink_to("src/a.py")
        first = await volumes.commit(lease, "run 1")
        assert first is not None
        assert (first.number, first.run_id, first.files, first.bytes) == (1, "run 1", 2, 3)
        assert [str(change) for change in first.changes] == ["A link", "A src", "A src/a.py"]
        (folder / "src/a.py").write_bytes(b"two!")
        (folder / "link").unlink()
        second = await volumes.commit(lease, "run 1")
        assert second is not None
        assert [str(change) for change in second.changes] == ["D link", "M src/a.py"]
        assert (second.files, second.bytes, second.change_count) == (1, 4, 2)
    assert await volumes.log(WEB) == (second, first)
    assert await tree_of(volumes, at=1) == {"/link": "src/a.py", "/src": None, "/src/a.py": b"one"}
    assert await tree_of(volumes) == {"/src": None, "/src/a.py": b"two!"}


async def test_nothing_changed_is_no_commit(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes) as (lease, folder):
        assert await volumes.commit(lease, "run 2") is None
        os.utime(folder / "a", (1, 1))
        changed = await volumes.commit(lease, "run 2")
        assert changed is not None
        assert [str(change) for change in changed.changes] == ["M a"]


async def test_an_edit_of_the_same_size_with_its_time_put_back_is_seen(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1234"})
    async with run_on(volumes) as (lease, folder):
        before = (folder / "a").stat()
        (folder / "a").write_bytes(b"4321")
        os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert await volumes.commit(lease, "run 2") is not None
    assert await tree_of(volumes) == {"/a": b"4321"}


async def test_edits_in_the_instant_of_a_commit_are_seen_by_the_next(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        for number in range(30):
            (folder / "a").write_bytes(b"%04d" % number)
            os.utime(folder / "a", (1, 1))
            await volumes.commit(lease, "run 1")
            assert await tree_of(volumes) == {"/a": b"%04d" % number}


async def test_a_host_that_has_the_newest_state_loads_and_reads_nothing(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, {"a": b"1", "big": os.urandom(1_000_000)})
    for daemon in (volumes, Volumes(store, tmp_path / "cache")):
        store.requests.clear()
        store.received = 0
        async with run_on(daemon) as (lease, _):
            assert await daemon.commit(lease, "run 2") is None
        assert store.requests == {"get": 2, "put": 2}  # the lease twice, and no newer entry
        assert store.received < 1000


async def test_a_small_commit_is_one_request_and_an_append_sends_its_tail(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        (folder / "log").write_bytes(os.urandom(10_000_000))
        await volumes.commit(lease, "run 1")
        store.requests.clear()
        (folder / "note").write_bytes(b"small")
        await volumes.commit(lease, "run 1")
        assert store.requests == {"put": 1}
        store.sent = 0
        with (folder / "log").open("ab") as log:
            log.write(os.urandom(50_000))
        await volumes.commit(lease, "run 1")
        assert store.sent < 400_000


async def test_another_host_gets_the_same_folder(store: ObjectStore, tmp_path: Path) -> None:
    one, two = Volumes(store, tmp_path / "one"), Volumes(store, tmp_path / "two")
    files = {"a": b"1", "d/e/f": os.urandom(700_000), "d/g": b"", "z": os.urandom(20_000_000)}
    await commit_files(one, files)
    async with run_on(two) as (lease, folder):
        assert {k: v for k, v in tree_on_disk(folder).items() if v is not None} == {
            f"/{k}": v for k, v in files.items()
        }
        (folder / "d/g").write_bytes(b"changed")
        (folder / "a").unlink()
        (folder / "a").mkdir()
        await two.commit(lease, "run 2")
    async with run_on(one) as (_, folder):
        assert tree_on_disk(folder) == await tree_of(one)
        assert (folder / "d/g").read_bytes() == b"changed"
        assert (folder / "a").is_dir()


async def test_what_a_failed_run_left_is_committed_before_the_next(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})

    async def fail() -> None:
        async with run_on(volumes, "run 2") as (_, folder):
            (folder / "a").write_bytes(b"left")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with run_on(volumes, "run 3") as (_, folder):
        assert (folder / "a").read_bytes() == b"left"
    newest = (await volumes.log(WEB))[0]
    assert (newest.run_id, [str(change) for change in newest.changes]) == ("run 2", ["M a"])


async def test_a_reader_has_its_snapshot_while_a_writer_goes_on(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1", "d/b": b"2"})
    async with volumes.check_out_read_only(WEB) as reading:
        await commit_files(volumes, {"a": b"changed"})
        assert tree_on_disk(reading) == {"/a": b"1", "/d": None, "/d/b": b"2"}
        async with volumes.check_out_read_only(WEB) as newer, volumes.check_out_read_only(WEB, 1) as same:
            assert (newer / "a").read_bytes() == b"changed"
            assert same == reading
    async with volumes.check_out_read_only(WEB, 1) as again:
        assert tree_on_disk(again) == {"/a": b"1", "/d": None, "/d/b": b"2"}


async def test_a_reader_that_wrote_into_its_snapshot_fools_nobody(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with volumes.check_out_read_only(WEB) as reading:
        (reading / "a").write_bytes(b"x")
    async with volumes.check_out_read_only(WEB) as reading:
        assert tree_on_disk(reading) == {"/a": b"1"}


async def test_all_volumes_are_listed_with_who_holds_them(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"12"})
    other = VolumeName.parse("team/other")
    async with volumes.lease(other, "run 9", create=True):
        first, second = await volumes.list()
    assert (first.name, first.snapshot, first.files, first.bytes, first.held_by) == ("web", 1, 1, 2, None)
    assert (second.name, second.snapshot, second.held_by) == ("team/other", 0, "run 9")
    assert second.held_until is not None


async def test_history_of_many_commits_is_read_through_its_checkpoints(
    store: ObjectStore, tmp_path: Path
) -> None:
    volumes = Volumes(store, tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        for number in range(1, 141):
            (folder / f"f{number % 10}").write_bytes(b"%d" % number)
            await volumes.commit(lease, f"run {number}")
    host = Host(store, tmp_path / "elsewhere")
    for at in (1, 64, 65, 66, 130, 140):
        expected = {f"/f{number % 10}": b"%d" % number for number in range(max(1, at - 9), at + 1)}
        assert await tree_of(host.volumes, at=at) == expected
    report = await host.volumes.check(WEB)
    assert (report.entries, report.checkpoints, report.problems) == (140, 2, ())
    assert len(await host.volumes.log(WEB, 5)) == 5
