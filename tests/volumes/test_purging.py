"""What forks, removed volumes and dead hosts leave goes when its time is over; what is needed stays."""

import os
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, ObjectStore, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, keys_of, run_on, tree_of
from support.volume_history import (
    COPY,
    DAY_S,
    LAST_TWO,
    assert_kept,
    content,
    grow,
    grown,
    thin_and_collect,
)


@pytest.fixture
def store(ageing_store: ObjectStore) -> ObjectStore:
    return ageing_store


async def test_a_removed_volume_is_deleted_when_its_time_is_over(
    store: ObjectStore, volumes: Volumes, clock: HandClock
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
    store: ObjectStore, volumes: Volumes, clock: HandClock
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
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
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


# What hosts have left


async def test_a_folder_on_a_snapshot_that_is_gone_is_kept_apart(
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
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
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
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
