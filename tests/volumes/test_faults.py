"""The store stops before or after each single write: the invariants hold and the next run works."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import FaultyStore, MemoryStore, ObjectStore, StoreError, Volumes
from support.volume_engine import (
    WEB,
    HandClock,
    Tree,
    commit_files,
    copy_of,
    keys_of,
    run_on,
    tree_of,
    tree_on_disk,
)

BASE: Tree = {"/a": b"old", "/d": None, "/d/b": b"stays"}
LARGE = b"".join(b"%06d" % number for number in range(120_000))  # more than an entry takes inline


async def edit_and_commit(volumes: Volumes) -> None:
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "a").write_bytes(b"new")
        (folder / "large").write_bytes(LARGE)
        await volumes.commit(lease, "run 2")
        (folder / "d/b").unlink()
        await volumes.commit(lease, "run 2")


async def write_one(volumes: Volumes) -> None:
    await volumes.write(WEB, "/e/f", LARGE)


async def only_lease(volumes: Volumes) -> None:
    async with volumes.lease(WEB, "run 2"):
        pass


STEPS: dict[str, tuple[Callable[[Volumes], Awaitable[None]], list[Tree]]] = {
    "commit": (
        edit_and_commit,
        [
            BASE,
            {"/a": b"new", "/d": None, "/d/b": b"stays", "/large": LARGE},
            {"/a": b"new", "/d": None, "/large": LARGE},
        ],
    ),
    "write": (write_one, [BASE, BASE | {"/e": None, "/e/f": LARGE}]),
    "lease": (only_lease, [BASE]),
}


async def base_store(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    await commit_files(Volumes(store, tmp_path / "cache-of-base"), {"a": b"old", "d/b": b"stays"})
    return store


async def writes_of(step: Callable[[Volumes], Awaitable[None]], store: ObjectStore, cache: Path) -> int:
    counting = FaultyStore(store, fail_at=10_000)
    await step(Volumes(counting, cache))
    return counting.writes


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", STEPS)
async def test_a_daemon_that_dies_at_any_write_leaves_a_committed_state(
    tmp_path: Path, name: str, after: bool
) -> None:
    step, allowed = STEPS[name]
    base = await base_store(tmp_path)
    writes = await writes_of(step, await copy_of(base), tmp_path / "counting")
    assert writes >= {"commit": 5, "write": 4, "lease": 2}[name]
    for number in range(1, writes + 1):
        store, cache, clock = await copy_of(base), tmp_path / f"cache-{number}", HandClock()
        faulty = FaultyStore(store, fail_at=number, after=after)
        await failing(step, Volumes(faulty, cache, clock=clock))
        assert faulty.has_failed

        elsewhere = Volumes(store, tmp_path / f"reader-{number}", clock=clock)
        assert await tree_of(elsewhere) in allowed
        assert (await elsewhere.check(WEB)).problems == ()

        clock.move(1000)  # the lease of the dead one runs out
        again = Volumes(store, cache, clock=clock)
        recovered = await again.recover()
        assert [each.problem for each in recovered] in ([], [None])
        assert [each.conflict for each in recovered] in ([], [None])
        expected = await tree_of(elsewhere)
        assert expected in allowed
        async with run_on(again, "next") as (lease, folder):
            assert tree_on_disk(folder) == expected
            (folder / "next").write_bytes(b"works")
            await again.commit(lease, "next")
        assert await tree_of(elsewhere) == expected | {"/next": b"works"}
        assert (await elsewhere.check(WEB)).problems == ()


@pytest.mark.parametrize("name", STEPS)
async def test_an_answer_lost_at_any_write_changes_nothing(tmp_path: Path, name: str) -> None:
    step, allowed = STEPS[name]
    base = await base_store(tmp_path)
    writes = await writes_of(step, await copy_of(base), tmp_path / "counting")
    for number in range(1, writes + 1):
        store = await copy_of(base)
        volumes = Volumes(
            FaultyStore(store, fail_at=number, after=True, stays_down=False), tmp_path / f"cache-{number}"
        )
        if await failing(step, volumes):  # a pack whose answer is lost is put again by the next commit
            await step(Volumes(store, tmp_path / f"cache-{number}", clock=later()))
        assert await tree_of(Volumes(store, tmp_path / "reader")) == allowed[-1]
        assert (await volumes.check(WEB)).problems == ()


async def failing(step: Callable[[Volumes], Awaitable[None]], volumes: Volumes) -> bool:
    """Whether it failed, which it may in one way only."""
    try:
        await step(volumes)
    except StoreError as error:
        return error.code == "store_unavailable" or pytest.fail(error.code)
    return False


def later() -> HandClock:
    clock = HandClock()
    clock.wall = clock.wall.replace(year=2100)
    return clock


async def test_a_commit_that_failed_can_be_tried_again_under_the_same_lease(tmp_path: Path) -> None:
    base = await base_store(tmp_path)
    for after in (False, True):
        for number in (1, 2):  # the pack, the entry
            store = await copy_of(base)
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
            assert (info.held_by, info.snapshot) == (None, 2)


async def test_a_volume_that_cannot_be_read_is_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    store = await base_store(tmp_path)
    (key,) = await keys_of(store, "volumes/default/web/")
    data, _ = await store.get(key)
    await store.delete(key)
    volumes = Volumes(store, tmp_path / "cache")
    with pytest.raises(HutchError):
        await edit_and_commit(volumes)
    await store.put(key, data)
    assert await tree_of(volumes) == BASE
