"""Volumes begin at snapshots of others, go back to their own, are removed and brought back."""

import os
from pathlib import Path

import pytest

from hutch.volumes import CountingStore, MemoryStore, ObjectStore, VolumeName, Volumes
from support.volume_engine import (
    WEB,
    HandClock,
    OtherMachine,
    Tree,
    commit_files,
    error_of,
    keys_of,
    run_on,
    tree_of,
    tree_on_disk,
)

COPY = VolumeName.parse("copy")


# Forks ------------------------------------------------------------------


async def test_a_fork_goes_its_own_way(volumes: Volumes, tmp_path: Path, store: ObjectStore) -> None:
    large = os.urandom(700_000)
    await commit_files(volumes, {"a": b"1", "large": large})
    await commit_files(volumes, {"a": b"2"})
    info = await volumes.fork(WEB, COPY)
    assert (info.name, info.snapshot, info.files, info.bytes) == ("copy", 0, 2, 700_001)
    assert await tree_of(volumes, name=COPY) == {"/a": b"2", "/large": large}
    async with run_on(volumes, name=COPY) as (lease, folder):
        assert tree_on_disk(folder) == {"/a": b"2", "/large": large}
        assert await volumes.commit(lease, "nothing") is None
        (folder / "a").write_bytes(b"of the copy")
        assert await volumes.commit(lease, "run 1") is not None
    await commit_files(volumes, {"a": b"3"})
    assert await tree_of(volumes, name=COPY) == {"/a": b"of the copy", "/large": large}
    assert await tree_of(volumes) == {"/a": b"3", "/large": large}
    assert await tree_of(volumes, 0, COPY) == {"/a": b"2", "/large": large}
    assert [f"{each.kind} {each.path}" async for each in volumes.diff(COPY, 0)] == ["M /a"]
    elsewhere = Volumes(store, tmp_path / "elsewhere")
    async with run_on(elsewhere, name=COPY) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"of the copy", "/large": large}
    assert (await elsewhere.check(COPY)).problems == ()


async def test_forks_of_forks_and_of_old_snapshots(volumes: Volumes) -> None:
    second, third, fourth = (VolumeName.parse(name) for name in ("second", "third", "fourth"))
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"a": b"2"})
    await volumes.tag(WEB, "one", 1)
    await volumes.fork(WEB, COPY, at="one")
    await volumes.fork(COPY, second)  # which has no entry of its own yet
    await commit_files(volumes, {"b": b"of the second"}, second)
    await volumes.fork(second, third)
    await commit_files(volumes, {"c": b"of the third"}, third)
    await volumes.fork(third, fourth, at=0)
    assert await tree_of(volumes, name=COPY) == {"/a": b"1"}
    assert await tree_of(volumes, name=third) == {"/a": b"1", "/b": b"of the second", "/c": b"of the third"}
    assert await tree_of(volumes, name=fourth) == {"/a": b"1", "/b": b"of the second"}
    for name in (WEB, COPY, second, third, fourth):
        assert (await volumes.check(name)).problems == ()


async def test_a_fork_is_two_small_writes(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, {"large": os.urandom(3_000_000)})
    store.requests.clear()
    store.sent = 0
    await volumes.fork(WEB, COPY)
    assert store.requests["put"] == 2
    assert store.sent < 2000


async def test_a_fork_under_a_taken_name_leaves_nothing(volumes: Volumes, store: ObjectStore) -> None:
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"b": b"2"}, COPY)
    before = await keys_of(store)
    assert (await error_of(lambda: volumes.fork(WEB, COPY))).code == "volume_exists"
    assert (await error_of(lambda: volumes.fork(WEB, VolumeName.parse("new"), at=7))).code == (
        "snapshot_unknown"
    )
    assert await keys_of(store) == before


async def test_an_empty_volume_can_be_forked(volumes: Volumes) -> None:
    async with run_on(volumes):
        pass
    assert (await volumes.fork(WEB, COPY)).files == 0
    await commit_files(volumes, {"a": b"1"}, COPY)
    assert await tree_of(volumes, name=COPY) == {"/a": b"1"}


async def test_a_fork_keeps_hard_links_and_numbers_apart(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"same")
        os.link(folder / "a", folder / "b")
        await volumes.commit(lease, "run 1")
    await volumes.fork(WEB, COPY)
    async with run_on(volumes, name=COPY) as (lease, folder):
        assert (folder / "a").samefile(folder / "b")
        (folder / "c").write_bytes(b"other")
        os.link(folder / "c", folder / "d")
        await volumes.commit(lease, "run 1")
    async with run_on(volumes, name=COPY) as (_, folder):
        assert not (folder / "a").samefile(folder / "c")


# Going back -------------------------------------------------------------


async def test_an_old_snapshot_is_made_new_again(volumes: Volumes) -> None:
    large = os.urandom(700_000)
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        (folder / "large").write_bytes(large)
        os.link(folder / "a", folder / "same")
        await volumes.commit(lease, "run 1")
        for path in ("a", "large", "same"):
            (folder / path).unlink()
        (folder / "b").write_bytes(b"2")
        await volumes.commit(lease, "run 1")
    first, second = await tree_of(volumes, 1), await tree_of(volumes, 2)
    made = await volumes.restore(WEB, 1, holder="anna")
    assert (made.number, made.run_id, made.files) == (3, "anna", 3)
    assert [str(change) for change in made.changes] == ["A a", "D b", "A large", "A same"]
    assert await tree_of(volumes) == first == {"/a": b"1", "/same": b"1", "/large": large}
    assert await tree_of(volumes, 2) == second
    async with run_on(volumes) as (lease, folder):
        assert tree_on_disk(folder) == first
        assert (folder / "a").samefile(folder / "same")
        (folder / "c").write_bytes(b"3")
        await volumes.commit(lease, "run 2")
    assert (await volumes.restore(WEB, 4)).number == 4  # nothing differs
    assert (await volumes.restore(WEB, 2)).number == 5
    assert await tree_of(volumes) == second
    assert (await volumes.restore(WEB, 0)).files == 0
    assert (await volumes.check(WEB)).problems == ()


async def test_who_stands_on_the_snapshot_before_can_follow_a_going_back(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"a": b"2"})
    await volumes.restore(WEB, 1)
    anew = Volumes(store, tmp_path / "cache")  # knows the working folder's index, and no other tree
    async with run_on(anew) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"1"}


async def test_a_checkpoint_between_does_not_lose_what_going_back_needs(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes) as (lease, folder):
        for number in range(70):  # so many that there is a checkpoint
            (folder / "a").write_bytes(b"2" * number)
            await volumes.commit(lease, "run 2")
            await tree_of(volumes)  # a reader that follows
    assert any("/checkpoints/" in key for key in await keys_of(store))
    await volumes.restore(WEB, 1)
    assert await tree_of(Volumes(store, tmp_path / "elsewhere")) == {"/a": b"1"}
    assert (await volumes.check(WEB)).problems == ()


async def test_going_back_sends_no_content(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, {"large": os.urandom(3_000_000)})
    await commit_files(volumes, {"large": b"small"})
    store.sent = 0
    await volumes.restore(WEB, 1)
    assert store.sent < 5000
    assert [key for key in await keys_of(store) if "/forks/" in key] == []


async def two_snapshots(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "src/deep").mkdir(parents=True)
        (folder / "src/deep/a").write_bytes(b"old a")
        (folder / "src/b").write_bytes(b"old b")
        os.link(folder / "src/b", folder / "src/linked")
        (folder / "other").write_bytes(b"old")
        await volumes.commit(lease, "run 1")
        (folder / "src/deep/a").unlink()
        (folder / "src/deep").rmdir()
        (folder / "src/b").write_bytes(b"new b")
        (folder / "other").write_bytes(b"new")
        (folder / "added").mkdir()
        (folder / "added/x").write_bytes(b"x")
        await volumes.commit(lease, "run 1")


async def test_a_part_of_an_old_snapshot_is_made_new_again(volumes: Volumes) -> None:
    await two_snapshots(volumes)
    now: Tree = {"/added": None, "/added/x": b"x", "/other": b"new", "/src": None}
    now |= {"/src/b": b"new b", "/src/linked": b"new b"}
    await volumes.restore(WEB, 1, prefix="/src/deep/a")
    now |= {"/src/deep": None, "/src/deep/a": b"old a"}
    assert await tree_of(volumes) == now
    await volumes.restore(WEB, 1, prefix="/src/b")
    now["/src/b"] = b"old b"
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == now  # the other name of what it was stays as it is
    await volumes.restore(WEB, 1, prefix="/src")
    now["/src/linked"] = b"old b"
    assert await tree_of(volumes) == now
    await volumes.restore(WEB, 1, prefix="/added")
    del now["/added"], now["/added/x"]
    assert await tree_of(volumes) == now
    unknown = await error_of(lambda: volumes.restore(WEB, 1, prefix="/never"))
    assert unknown.code == "path_unknown"
    assert (await volumes.check(WEB)).problems == ()


async def test_a_held_volume_does_not_go_back(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with volumes.lease(WEB, "run 7"):
        error = await error_of(lambda: volumes.restore(WEB, 1))
    assert error.code == "volume_held"


# Removal ----------------------------------------------------------------


async def test_a_removed_volume_is_gone_until_it_is_brought_back(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    await volumes.remove(WEB)
    assert await volumes.list() == ()
    (removed,) = await volumes.list(removed=True)
    assert (removed.name, removed.snapshot) == ("web", 1)
    assert removed.removed_at is not None
    for call in (
        lambda: volumes.info(WEB),
        lambda: volumes.log(WEB),
        lambda: volumes.fork(WEB, COPY),
        lambda: volumes.remove(WEB),
        lambda: volumes.lease(WEB, "run 1").__aenter__(),
    ):
        error = await error_of(call)
        assert error.code == "volume_unknown"
        assert "bring-back" in error.hint
    info = await volumes.bring_back(WEB)
    assert (info.snapshot, info.removed_at) == (1, None)
    await commit_files(volumes, {"a": b"2"})
    assert await tree_of(volumes) == {"/a": b"2"}
    assert (await error_of(lambda: volumes.bring_back(WEB))).code == "volume_exists"
    assert (await error_of(lambda: volumes.bring_back(COPY))).code == "volume_unknown"


async def test_a_removed_name_can_be_used_again_at_once(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    await volumes.fork(WEB, COPY)
    await volumes.remove(WEB)
    async with run_on(volumes) as (lease, folder):
        assert tree_on_disk(folder) == {}
        assert lease.token > 2
        (folder / "b").write_bytes(b"2")
        await volumes.commit(lease, "run 2")
    assert await tree_of(volumes) == {"/b": b"2"}
    assert await tree_of(volumes, name=COPY) == {"/a": b"1"}
    assert (await error_of(lambda: volumes.bring_back(WEB))).code == "volume_exists"
    await volumes.remove(COPY)
    await volumes.fork(WEB, COPY)
    assert await tree_of(volumes, name=COPY) == {"/b": b"2"}


async def test_a_held_volume_is_not_removed(volumes: Volumes) -> None:
    async with volumes.lease(WEB, "run 7", create=True):
        error = await error_of(lambda: volumes.remove(WEB))
    assert (error.code, "run 7" in error.message) == ("volume_held", True)
    assert [info.name for info in await volumes.list()] == ["web"]


async def test_a_writer_that_slept_through_a_removal_writes_into_no_other_volume(
    store: ObjectStore, tmp_path: Path, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepy, volumes = (Volumes(store, tmp_path / name, clock=clock) for name in ("sleepy", "awake"))
    await commit_files(sleepy, {"a": b"1"})
    with OtherMachine(monkeypatch):
        sleeping = run_on(sleepy, "sleeper")
        lease, folder = await sleeping.__aenter__()
    (folder / "a").write_bytes(b"of the sleeper")
    await volumes.info(WEB)
    clock.move(200)
    await volumes.remove(WEB)
    await commit_files(volumes, {"new": b"volume"})
    error = await error_of(lambda: sleepy.commit(lease, "sleeper"))
    assert error.code == "lease_lost"
    await sleeping.__aexit__(None, None, None)
    assert await tree_of(volumes) == {"/new": b"volume"}
    kept = VolumeName.parse(error.hint.split("'")[1])
    assert await tree_of(volumes, name=kept) == {"/a": b"of the sleeper"}
