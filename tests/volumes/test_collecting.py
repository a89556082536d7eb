"""What nothing needs any more is deleted: never more than that."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, FaultyStore, MemoryStore, StoreError, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, OtherMachine, copy_of, keys_of, run_on, tree_of
from support.volume_history import COPY, DAY_S, LAST_TWO, assert_kept, code_of, content, grow, grown


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock.now)


@pytest.fixture
def volumes(store: MemoryStore, tmp_path: Path, clock: HandClock) -> Volumes:
    return Volumes(store, tmp_path / "cache", clock=clock)


async def test_what_only_dropped_snapshots_needed_is_deleted(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 80))  # beyond a checkpoint
    before = await keys_of(store)
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    told = await volumes.gc(WEB, dry_run=True)
    assert {*await keys_of(store)} - {*before} == {
        "clock",
        *[key for key in await keys_of(store) if "/kept" in key],
    }
    done = await volumes.gc(WEB)
    assert (done.entries, done.packs, done.checkpoints) == (told.entries, told.packs, told.checkpoints)
    assert (done.entries > 60, done.packs, done.bytes > 76 * 150_000) == (True, 76, True)
    left = await keys_of(store, "volumes/")
    assert len([key for key in left if "/packs/" in key]) == 3
    assert (await volumes.gc(WEB)).bytes == 0
    for reader in (volumes, Volumes(store, tmp_path / "elsewhere", clock=clock)):
        await assert_kept(reader, [77, 78, 79])
        assert await code_of(reader, 5) == "snapshot_unknown"
    await grow(volumes, clock, range(80, 82))
    await assert_kept(Volumes(store, tmp_path / "another", clock=clock), [77, 78, 79, 80, 81])


async def test_a_snapshot_that_somebody_remembers_is_told_as_thinned_out_not_as_damaged(
    volumes: Volumes, clock: HandClock
) -> None:
    await grow(volumes, clock, range(1, 80))
    assert await tree_of(volumes, 5) == grown(5)
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    await volumes.gc(WEB)
    assert await code_of(volumes, 5) == "snapshot_unknown"


async def test_packs_that_no_entry_names_go_when_they_are_old(
    store: MemoryStore, volumes: Volumes, clock: HandClock
) -> None:
    await grow(volumes, clock, range(1, 2))
    (pack,) = [key for key in await keys_of(store) if "/packs/" in key]
    orphan = pack[:-64] + "0" * 64
    await store.put(orphan, b"left by a commit that failed")
    assert (await volumes.gc(WEB)).packs == 0
    clock.move(DAY_S + 1)
    assert (await volumes.gc(WEB)).packs == 1
    assert orphan not in await keys_of(store)
    await assert_kept(volumes, [1])


async def test_damage_ends_a_collection_before_it_deletes(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 8))
    await volumes.tag(WEB, "needed", 2)
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    keys = [key for key in await keys_of(store, "volumes/") if "/packs/" not in key]
    for key in [*keys, "leases/default/web"]:
        hurt = await copy_of(store)
        data, _ = await store.get(key)
        await hurt.put(key, data[:-3] + b"xxx")
        before = await keys_of(hurt)
        with pytest.raises(HutchError) as caught:
            await Volumes(hurt, tmp_path / "collector", clock=clock).gc(WEB)
        assert caught.value.code == "volume_damaged", key
        assert await keys_of(hurt) == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_collection_that_dies_at_any_write_harms_nothing(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path, after: bool
) -> None:
    await grow(volumes, clock, range(1, 6))
    clock.move(2 * DAY_S)

    for number in range(1, 100):
        copy = await copy_of(store, clock.now)
        faulty = FaultyStore(copy, fail_at=number, after=after)
        with suppress(StoreError):
            await thin_and_collect(Volumes(faulty, tmp_path / "collector", clock=clock))
        door = Volumes(copy, tmp_path / "reader", clock=clock)
        assert (await door.check(WEB)).problems == ()
        await thin_and_collect(door)
        await assert_kept(door, [3, 4, 5])
        if not faulty.has_failed:
            assert number > 4
            return
    raise AssertionError


async def thin_and_collect(volumes: Volumes) -> None:
    await volumes.thin(WEB, LAST_TWO)
    await volumes.gc(WEB)


async def test_packs_wait_while_a_holder_may_be_asleep(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grow(volumes, clock, range(1, 6))
    with OtherMachine(monkeypatch):
        sleeping = run_on(Volumes(store, tmp_path / "asleep", clock=clock), "sleeper")
        lease, folder = await sleeping.__aenter__()
    (folder / "note").write_bytes(b"of the sleeper")
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    told = await volumes.gc(WEB)
    assert (told.packs, told.problem) == (
        0,
        "packs must wait: sleeper holds the volume and was not heard of lately",
    )
    clock.move(7 * DAY_S)
    done = await volumes.gc(WEB)
    assert (done.packs, done.problem) == (2, None)
    lease.lost.set()
    await sleeping.__aexit__(None, None, None)
    assert await tree_of(volumes) == grown(5)


async def test_a_commit_that_took_too_long_is_made_anew(
    store: MemoryStore, volumes: Volumes, clock: HandClock
) -> None:
    await grow(volumes, clock, range(1, 2))
    async with run_on(volumes, "slow") as (lease, folder):
        (folder / "large").write_bytes(content(2))
        real = store.put
        slow = [True]

        async def put(key: str, data: bytes, *, if_match: str | None = None) -> str:
            if slow and "/packs/" in key:
                clock.move(slow.pop() * 13 * 3600)
            return await real(key, data, if_match=if_match)

        store.put = put  # type: ignore[method-assign]
        with pytest.raises(HutchError) as caught:
            await volumes.commit(lease, "slow")
        assert (caught.value.code, "made anew" in caught.value.message) == ("store_unavailable", True)
        assert await volumes.commit(lease, "slow") is not None
    assert (await tree_of(volumes))["/large"] == content(2)


# What forks and removed volumes leave -----------------------------------


async def test_a_removed_volume_is_deleted_when_its_time_is_over(
    store: MemoryStore, volumes: Volumes, clock: HandClock
) -> None:
    await grow(volumes, clock, range(1, 4))
    await volumes.tag(WEB, "any", 1)
    await volumes.remove(WEB)
    clock.move(6 * DAY_S)
    assert (await volumes.gc(WEB)).volumes == 0
    clock.move(1 * DAY_S)
    assert (await volumes.gc(WEB, dry_run=True)).packs == 3
    assert (await volumes.bring_back(WEB)).snapshot == 3
    await volumes.remove(WEB)
    clock.move(8 * DAY_S)
    assert (await volumes.gc(WEB)).volumes == 1
    assert await keys_of(store) == ["clock", "leases/default/web"]
    assert await volumes.list(removed=True) == ()
    with pytest.raises(HutchError) as caught:
        await volumes.bring_back(WEB)
    assert caught.value.code == "volume_unknown"
    await grow(volumes, clock, range(9, 10))
    assert [each.number for each in await volumes.log(WEB)] == [1]
    assert (await volumes.info(WEB)).snapshot == 1


async def test_of_a_removed_volume_its_forks_keep_what_they_need(
    store: MemoryStore, volumes: Volumes, clock: HandClock
) -> None:
    await grow(volumes, clock, range(1, 5))
    await volumes.fork(WEB, COPY, at=2)
    await volumes.remove(WEB)
    await grow(volumes, clock, range(1, 3))  # the name is in use again
    clock.move(8 * DAY_S)
    done = await volumes.gc(WEB)
    assert (done.packs, done.volumes) == (3, 0)
    assert await tree_of(volumes, name=COPY) == grown(2)
    await assert_kept(volumes, [1, 2])
    await volumes.remove(COPY)
    clock.move(8 * DAY_S)
    assert (await volumes.gc(COPY)).volumes == 1
    assert (await volumes.gc(WEB)).volumes == 1
    await assert_kept(volumes, [1, 2])
    assert {key.split("/")[3] for key in await keys_of(store, "volumes/")} == {
        key.split("/")[3] for key in await keys_of(store, "volumes/default/web/")
    }


async def test_a_fork_lets_go_of_its_parent_when_it_needs_nothing_of_it(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 3))
    await volumes.fork(WEB, COPY)
    async with run_on(volumes, "run", COPY) as (lease, folder):
        (folder / "large").unlink()
        await volumes.commit(lease, "run")
    clock.move(2 * DAY_S)
    await volumes.gc(COPY)
    assert [key for key in await keys_of(store) if "/forks/" in key]
    for number in range(70):
        await volumes.write(COPY, "/note", b"%d" % number, mode="overwrite")
    clock.move(2 * DAY_S)
    await volumes.thin(COPY, LAST_TWO)
    await volumes.gc(COPY)
    assert [key for key in await keys_of(store) if "/forks/" in key] == []
    await volumes.remove(WEB)
    clock.move(8 * DAY_S)
    assert (await volumes.gc(WEB)).volumes == 1
    for door in (volumes, Volumes(store, tmp_path / "elsewhere", clock=clock)):
        assert await tree_of(door, name=COPY) == {"/note": b"69"}
        assert (await door.check(COPY)).problems == ()


# What hosts have left ---------------------------------------------------


async def test_a_folder_on_a_snapshot_that_is_gone_is_kept_apart(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    await grow(Volumes(store, old, clock=clock), clock, range(1, 2))
    (old / "default/web/index").write_bytes(b"torn")
    (old / "default/web/tree/note").write_bytes(b"by hand")
    await grow(volumes, clock, range(2, 6))
    clock.move(2 * DAY_S)
    await thin_and_collect(volumes)
    async with run_on(Volumes(store, old, clock=clock), "next") as (_, folder):
        assert (folder / "note").read_bytes() == b"5"
    (conflict,) = [info.name for info in await volumes.list() if "@" in info.name]
    kept = await tree_of(volumes, name=VolumeName.parse(conflict))
    assert kept == {"/large": content(1), "/note": b"by hand"}


async def test_what_a_dead_run_left_of_a_removed_volume_is_kept(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 2))
    left = tmp_path / "left"
    host = Volumes(store, left, clock=clock)
    with pytest.raises(ZeroDivisionError):
        await broken_off(host)
    await volumes.remove(WEB)
    (recovered,) = await Volumes(store, left, clock=clock).recover()
    assert (recovered.name, recovered.problem) == ("web", None)
    assert recovered.conflict is not None
    kept = VolumeName.parse(recovered.conflict)
    assert await tree_of(volumes, name=kept) == {"/large": content(1), "/note": b"unsaved"}
    clock.move(8 * DAY_S)
    await volumes.gc(WEB)
    assert await tree_of(Volumes(store, tmp_path / "new", clock=clock), name=kept) == {
        "/large": content(1),
        "/note": b"unsaved",
    }
    assert await Volumes(store, left, clock=clock).recover() == ()


async def broken_off(volumes: Volumes) -> None:
    async with run_on(volumes, "run 9") as (_, folder):
        (folder / "note").write_bytes(b"unsaved")
        raise ZeroDivisionError


async def test_what_killed_writes_left_in_a_directory_is_removed_after_a_day(tmp_path: Path) -> None:
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    await volumes.write(WEB, "/a", b"1")
    (folder,) = (tmp_path / "store/volumes/default/web").glob("*/log")
    for name, age_s in ((".new-old", DAY_S + 60), (".new-young", 60.0)):
        (folder / name).write_bytes(b"torn")
        at = (folder / name).stat().st_mtime - age_s
        os.utime(folder / name, (at, at))
    assert (await volumes.housekeep("default", LAST_TWO)).problems == ()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [".new-young"]
    assert await tree_of(volumes) == {"/a": b"1"}
