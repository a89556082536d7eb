"""A volume takes what a fork of it holds, all of it or nothing, if nobody has written it meanwhile."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import FaultyStore, MemoryStore, ObjectStore, VolumeName, Volumes
from support.volume_engine import (
    WEB,
    HandClock,
    commit_files,
    copy_of,
    error_of,
    run_on,
    tree_of,
    tree_on_disk,
)

TRY, OTHER = VolumeName.parse("web-1"), VolumeName.parse("web-2")
LARGE = os.urandom(700_000)


async def a_fork_that_went_on(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1", "old": LARGE, "gone": b"x"})
    await volumes.fork(WEB, TRY)
    async with run_on(volumes, name=TRY) as (lease, folder):
        (folder / "a").write_bytes(b"2")
        (folder / "gone").unlink()
        (folder / "new").write_bytes(LARGE[::-1])
        os.link(folder / "new", folder / "same")
        with (folder / "old").open("ab") as file:
            file.write(b"more")
        await volumes.commit(lease, "run 2")


async def test_a_fork_s_work_becomes_the_next_snapshot_and_needs_the_fork_no_more(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await a_fork_that_went_on(volumes)
    wanted = await tree_of(volumes, name=TRY)
    made = await volumes.adopt(WEB, TRY, run_id="keep 1")
    assert made is not None
    assert (made.number, made.run_id) == (2, "keep 1")
    assert [str(change) for change in made.changes] == ["M a", "D gone", "A new", "M old", "A same"]
    assert await tree_of(volumes) == wanted
    assert [each.run_id for each in await volumes.log(WEB)] == ["keep 1", "run 1"]
    assert await tree_of(volumes, 1) == {"/a": b"1", "/old": LARGE, "/gone": b"x"}
    await volumes.remove(TRY)
    await volumes.gc(TRY, grace_s=0)
    elsewhere = Volumes(store, tmp_path / "elsewhere")
    async with run_on(elsewhere) as (lease, folder):
        assert tree_on_disk(folder) == wanted
        assert (folder / "new").samefile(folder / "same")
        (folder / "a").write_bytes(b"3")
        assert await elsewhere.commit(lease, "run 3") is not None
    assert (await elsewhere.check(WEB)).problems == ()


async def test_what_was_written_since_is_never_lost(volumes: Volumes) -> None:
    await a_fork_that_went_on(volumes)
    await volumes.fork(WEB, OTHER, at=1)
    await commit_files(volumes, {"b": b"of another"})
    refused = await error_of(lambda: volumes.adopt(WEB, TRY, run_id="keep 1"))
    assert refused.code == "volume_moved_on"
    assert "snapshot 2 is of run 1" in refused.message
    assert (await volumes.info(WEB)).snapshot == 2
    assert await tree_of(volumes) == {"/a": b"1", "/b": b"of another", "/gone": b"x", "/old": LARGE}
    assert (await error_of(lambda: volumes.adopt(WEB, OTHER, run_id="keep 2"))).code == "volume_moved_on"
    await volumes.restore(WEB, 1)  # nothing of it is there any more
    assert (await volumes.adopt(WEB, TRY, run_id="keep 1")) is not None
    assert (await volumes.check(WEB)).problems == ()


async def test_of_two_forks_one_is_taken(volumes: Volumes) -> None:
    await a_fork_that_went_on(volumes)
    await volumes.fork(WEB, OTHER)
    await commit_files(volumes, {"c": b"of the other"}, OTHER)
    assert (await volumes.adopt(WEB, OTHER, run_id="keep 2")) is not None
    again = await volumes.adopt(WEB, OTHER, run_id="keep 2")  # whose answer got lost
    assert (again and again.number, (await volumes.info(WEB)).snapshot) == (2, 2)
    refused = await error_of(lambda: volumes.adopt(WEB, TRY, run_id="keep 1"))
    assert (refused.code, "is of keep 2" in refused.message) == ("volume_moved_on", True)


async def test_a_fork_of_a_volume_that_was_empty(volumes: Volumes) -> None:
    async with volumes.lease(WEB, "a", create=True):
        pass
    await volumes.fork(WEB, TRY)
    assert await volumes.adopt(WEB, TRY, run_id="keep 1") is None
    await commit_files(volumes, {"a": b"1"}, TRY)
    assert await volumes.adopt(WEB, TRY, run_id="keep 1") is not None
    assert await tree_of(volumes) == {"/a": b"1"}


async def test_a_volume_that_is_a_fork_itself_takes_over_what_its_forks_hold(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await commit_files(volumes, {"a": b"1", "large": LARGE})
    await volumes.fork(WEB, OTHER, at=1)
    await volumes.fork(OTHER, TRY)  # before there is anything of its own in it
    await commit_files(volumes, {"a": b"2"}, TRY)
    assert await volumes.adopt(OTHER, TRY, run_id="keep 1") is not None
    await volumes.remove(TRY)
    await volumes.gc(TRY, grace_s=0)
    await volumes.fork(OTHER, TRY)
    await commit_files(volumes, {"a": b"3"}, TRY)
    assert await volumes.adopt(OTHER, TRY, run_id="keep 2") is not None
    elsewhere = Volumes(store, tmp_path / "elsewhere")
    assert await tree_of(elsewhere, name=OTHER) == {"/a": b"3", "/large": LARGE}
    assert await tree_of(elsewhere, 1, OTHER) == {"/a": b"2", "/large": LARGE}
    assert await tree_of(elsewhere) == {"/a": b"1", "/large": LARGE}
    for name in (WEB, OTHER):
        assert (await elsewhere.check(name)).problems == ()


async def test_a_volume_that_is_no_fork_of_it_is_refused(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"a": b"2"}, OTHER)
    await volumes.fork(OTHER, TRY)
    assert (await error_of(lambda: volumes.adopt(WEB, TRY, run_id="x"))).code == "fork_unrelated"
    async with volumes.lease(OTHER, "run 7"):
        assert (await error_of(lambda: volumes.adopt(OTHER, TRY, run_id="x"))).code == "volume_held"
    async with volumes.lease(TRY, "run 7"):
        assert (await error_of(lambda: volumes.adopt(OTHER, TRY, run_id="x"))).code == "volume_held"


async def test_two_forks_are_compared_by_their_content(volumes: Volumes) -> None:
    await a_fork_that_went_on(volumes)
    await volumes.fork(WEB, OTHER, at=1)
    when = (1, 1)
    for name, content in ((TRY, b"x" * 600_000), (OTHER, b"y" * 600_000)):
        async with run_on(volumes, name=name) as (lease, folder):  # of one size, and as old
            (folder / "alike").write_bytes(content)
            os.utime(folder / "alike", ns=when)
            await volumes.commit(lease, "run 3")
    old, new, changes = await volumes.compare_volumes(OTHER, TRY)
    found = [f"{each.kind} {each.path}" async for each in changes]
    assert found == ["M /a", "M /alike", "D /gone", "A /new", "M /old", "A /same"]
    assert await old.read(b"/alike", 3) == b"yyy"
    assert await new.read(b"/alike", 3) == b"xxx"
    assert await new.read(b"/a", 9) == b"2"


@pytest.mark.parametrize("after", [False, True])
async def test_a_store_that_fails_at_any_write_leaves_all_of_it_or_nothing(
    clock: HandClock, tmp_path: Path, after: bool
) -> None:
    made = MemoryStore(clock.now)
    await a_fork_that_went_on(Volumes(made, tmp_path / "made", clock=clock))
    number, is_whole = 0, False
    while not is_whole:  # until it takes fewer writes than the one that fails
        number += 1
        copy = await copy_of(made, clock.now)
        faulty = FaultyStore(copy, fail_at=number, after=after)
        volumes = Volumes(faulty, tmp_path / f"{number}-a", clock=clock)
        with suppress(HutchError):
            await volumes.adopt(WEB, TRY, run_id="keep 1")
        is_whole = not faulty.has_failed
        clock.move(1000)  # until the lease of one who died has run out
        sound = Volumes(copy, tmp_path / f"{number}-b", clock=clock)
        before = await tree_of(sound)
        assert before in (await tree_of(sound, 1), await tree_of(sound, name=TRY))
        await sound.adopt(WEB, TRY, run_id="keep 1")
        assert await tree_of(sound) == await tree_of(sound, name=TRY)
        assert (await sound.check(WEB)).problems == ()
    assert number > 4
