"""What nothing needs any more is deleted: never more than that."""

from contextlib import suppress
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import FaultyStore, ObjectStore, StoreError, Volumes
from support.volume_engine import WEB, HandClock, OtherMachine, copy_of, keys_of, run_on, tree_of
from support.volume_history import (
    DAY_S,
    LAST_TWO,
    assert_kept,
    code_of,
    content,
    grow,
    grown,
    thin_and_collect,
)


@pytest.fixture
def store(ageing_store: ObjectStore) -> ObjectStore:
    return ageing_store


async def test_what_only_dropped_snapshots_needed_is_deleted(
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
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
    store: ObjectStore, volumes: Volumes, clock: HandClock
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
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
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
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path, after: bool
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


async def test_packs_wait_while_a_holder_may_be_asleep(
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    store: ObjectStore, volumes: Volumes, clock: HandClock
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
