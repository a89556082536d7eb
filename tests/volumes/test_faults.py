"""The store stops before or after each single write: the invariants hold, and the next run works."""

from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import FaultyStore, MemoryStore, ObjectStore, StoreError, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, Tree, copy_of, keys_of, run_on, tree_of, tree_on_disk
from support.volume_steps import (
    BASE,
    CASES,
    LARGE,
    Case,
    Scene,
    Step,
    edit_and_commit,
    written_elsewhere,
)

_AT_ONCE = 6  # some steps mostly wait
_LATER_S = 1000  # the lease of a dead holder has run out


async def prepared(case: Case, tmp_path: Path) -> Scene:
    clock = HandClock()
    scene = Scene(MemoryStore(clock.now), tmp_path / "cache", clock)
    await case.before(scene)
    return scene


async def writes_of(case: Case, scene: Scene, tmp_path: Path) -> int:
    copy = await scene.copied(tmp_path / "counting")
    copy.clock.move(case.wait_s)
    counting = FaultyStore(copy.store, fail_at=10_000)
    await case.step(Volumes(counting, copy.cache, clock=copy.clock))
    assert counting.writes >= case.writes
    return counting.writes


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", CASES)
async def test_a_daemon_that_dies_at_any_write_leaves_a_whole_state(
    tmp_path: Path, name: str, after: bool
) -> None:
    case = CASES[name]
    scene = await prepared(case, tmp_path)
    writes = await writes_of(case, scene, tmp_path)
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def stop_at(number: int) -> None:
        async with limit:
            await die_and_go_on(case, await scene.copied(tmp_path / f"cache-{number}"), number, after=after)

    async with anyio.create_task_group() as tasks:
        for number in range(1, writes + 1):
            tasks.start_soon(stop_at, number)


async def die_and_go_on(case: Case, scene: Scene, number: int, *, after: bool) -> None:
    scene.clock.move(case.wait_s)
    where = f"stopped {'after' if after else 'before'} write {number}"
    faulty = FaultyStore(scene.store, fail_at=number, after=after)
    await failing(case.step, Volumes(faulty, scene.cache, clock=scene.clock))
    assert faulty.has_failed
    elsewhere = scene.volumes(f"reader of {scene.cache.name}")
    assert await standing(elsewhere) in case.trees, where
    await every_volume_is_whole(elsewhere)

    scene.clock.move(_LATER_S)
    again = scene.volumes()
    assert {each.problem for each in await again.recover()} <= {None}, where
    assert await standing(elsewhere) in case.trees, where
    await every_volume_is_whole(elsewhere)
    await case.do_again(again)
    expected = await standing(elsewhere)
    assert expected == case.trees[-1], where
    await case.finally_(again)

    if expected is None:
        expected = await back_again(again)
    async with run_on(again, "next") as (lease, folder):
        assert tree_on_disk(folder) == expected
        (folder / "next").write_bytes(b"works")
        await again.commit(lease, "next")
    assert await standing(elsewhere) == expected | {"/next": b"works"}
    await every_volume_is_whole(elsewhere)


@pytest.mark.parametrize("after", [False, True], ids=["the write", "its answer"])
@pytest.mark.parametrize("name", CASES)
async def test_what_is_lost_once_at_any_write_changes_nothing(tmp_path: Path, name: str, after: bool) -> None:
    case = CASES[name]
    scene = await prepared(case, tmp_path)
    for number in range(1, await writes_of(case, scene, tmp_path) + 1):
        copy = await scene.copied(tmp_path / f"cache-{number}")
        copy.clock.move(case.wait_s)
        faulty = FaultyStore(copy.store, fail_at=number, after=after, stays_down=False)
        # A stream tries again by itself; what is done once is done again by who asked for it
        if await failing(case.step, Volumes(faulty, copy.cache, clock=copy.clock)):
            copy.clock.move(_LATER_S)
            await case.do_again(copy.volumes())
        elsewhere = copy.volumes("reader")
        assert await standing(elsewhere) == case.trees[-1]
        await case.finally_(elsewhere)
        await every_volume_is_whole(elsewhere)


async def back_again(volumes: Volumes) -> Tree:
    """Undo a removal, if that can be; else the name's next volume is empty."""
    try:
        await volumes.bring_back(WEB)
    except HutchError as error:
        return {} if error.code == "volume_unknown" else pytest.fail(error.code)
    return BASE


async def standing(volumes: Volumes) -> Tree | None:
    """The volume's newest tree. None: it is removed."""
    try:
        return await tree_of(volumes)
    except HutchError as error:
        if error.code == "volume_unknown" and "was removed" in error.message:
            return None
        raise


async def every_volume_is_whole(volumes: Volumes) -> None:
    for info in await volumes.list():
        assert (await volumes.check(VolumeName.parse(info.name))).problems == ()


async def failing(step: Step, volumes: Volumes) -> bool:
    """Whether it failed, which it may in one way only."""
    try:
        await step(volumes)
    except StoreError as error:
        return error.code == "store_unavailable" or pytest.fail(f"{error.code}: {error.message}")
    return False


async def test_a_commit_that_failed_can_be_tried_again_under_the_same_lease(tmp_path: Path) -> None:
    scene = Scene(MemoryStore(), tmp_path / "cache", HandClock())
    await written_elsewhere(scene)
    for after in (False, True):
        for number in (1, 2):  # the pack, the entry
            store = await copy_of(scene.store)
            faulty = FaultyStore(store, fail_at=1 + number, after=after, stays_down=False)
            volumes = Volumes(faulty, tmp_path / f"cache-{after}-{number}")
            async with run_on(volumes, "run 2") as (lease, folder):
                (folder / "large").write_bytes(LARGE)
                try:
                    await volumes.commit(lease, "run 2")
                except HutchError:
                    await volumes.commit(lease, "run 2")
            assert await tree_of(volumes) == BASE | {"/large": LARGE}
            info = await volumes.info(WEB)
            assert (info.held_by, info.snapshot) == (None, 3)


async def test_a_volume_that_cannot_be_read_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    scene = Scene(MemoryStore(), tmp_path / "cache", HandClock())
    await written_elsewhere(scene)
    store: ObjectStore = scene.store
    key = (await keys_of(store, "volumes/default/web/"))[-1]
    data, _ = await store.get(key)
    await store.delete(key)
    volumes = Volumes(store, tmp_path / "cache")
    with pytest.raises(HutchError):
        await edit_and_commit(volumes)
    await store.put(key, data)
    assert await tree_of(volumes) == BASE
