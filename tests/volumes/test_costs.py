"""What a volume may hold, what it costs, and the work that is done for all of them."""

from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, Quotas, RetentionRules, VolumeName, VolumeQuota, Volumes
from support.volume_engine import WEB, HandClock, commit_files, keys_of, run_on, tree_of, tree_on_disk
from support.volume_history import COPY, DAY_S, LAST_TWO, assert_kept, grow

SMALL = Quotas(VolumeQuota(max_bytes=1000, max_files=5), {"default/big-*": VolumeQuota(max_bytes=100_000)})


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock.now)


# Quotas -----------------------------------------------------------------


@pytest.fixture
def bounded(store: MemoryStore, tmp_path: Path, clock: HandClock) -> Volumes:
    return Volumes(store, tmp_path / "cache", clock=clock, quotas=SMALL)


async def test_a_commit_beyond_the_quota_is_refused_and_its_work_kept(bounded: Volumes) -> None:
    await commit_files(bounded, {"a": bytes(900)})
    async with run_on(bounded, "run 2") as (lease, folder):
        (folder / "b").write_bytes(bytes(101))
        with pytest.raises(HutchError) as caught:
            await bounded.commit(lease, "run 2")
    assert (caught.value.code, caught.value.message) == (
        "quota_exceeded",
        "volume 'web' may hold 1000 bytes, and would hold 1001",
    )
    kept = VolumeName.parse(caught.value.hint.split("'")[1])
    assert await tree_of(bounded, name=kept) == {"/a": bytes(900), "/b": bytes(101)}
    async with run_on(bounded, "run 3") as (lease, folder):
        assert tree_on_disk(folder) == {"/a": bytes(900)}
        (folder / "b").write_bytes(bytes(100))
        assert await bounded.commit(lease, "run 3") is not None
    with pytest.raises(HutchError) as caught:
        await bounded.write(WEB, "/c", b"1")
    assert caught.value.code == "quota_exceeded"
    assert (await bounded.stat(WEB)).quota == VolumeQuota(1000, 5)


async def test_what_a_dead_run_left_beyond_the_quota_stops_nobody(bounded: Volumes) -> None:
    async def die() -> None:
        async with run_on(bounded, "run 1") as (_, folder):
            for number in range(6):
                (folder / str(number)).write_bytes(b"")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await die()
    async with run_on(bounded, "run 2") as (_, folder):
        assert tree_on_disk(folder) == {}
    assert [(info.name.partition("@")[0], info.files) for info in await bounded.list()] == [
        ("web", 0),
        ("web", 6),
    ]


async def test_a_volume_that_is_too_large_already_may_shrink(
    bounded: Volumes, store: MemoryStore, tmp_path: Path, clock: HandClock
) -> None:
    await commit_files(Volumes(store, tmp_path / "other", clock=clock), {"a": bytes(5000), "b": bytes(5000)})
    await commit_files(bounded, {"a": bytes(4000)})
    with pytest.raises(HutchError):
        await commit_files(bounded, {"b": bytes(9000)})


@pytest.mark.parametrize(
    ("name", "quota"),
    [
        ("web", VolumeQuota(1, 1)),
        ("team-a", VolumeQuota(2)),
        ("team-a1", VolumeQuota(3)),
        ("other/team-a", VolumeQuota(1, 1)),
        ("other/x1", VolumeQuota(4)),
        ("web@conflict-20261121T120000Z", VolumeQuota(1, 1)),
        ("team-a1@conflict-20261121T120000Z", VolumeQuota(3)),
    ],
)
def test_the_most_specific_quota_counts(name: str, quota: VolumeQuota) -> None:
    quotas = Quotas(
        VolumeQuota(1, 1),
        {"default/team-*": VolumeQuota(2), "default/team-a1": VolumeQuota(3), "*/x*": VolumeQuota(4)},
    )
    assert quotas.of(VolumeName.parse(name)) == quota


# Costs ------------------------------------------------------------------


async def test_a_volume_tells_what_it_costs(store: MemoryStore, tmp_path: Path, clock: HandClock) -> None:
    volumes = Volumes(store, tmp_path / "cache", clock=clock)
    await grow(volumes, clock, range(1, 5))
    await volumes.tag(WEB, "first", 1)
    await volumes.fork(WEB, COPY)
    told = await volumes.stat(WEB)
    size = 0
    for key in await keys_of(store, "volumes/default/web/"):
        size += len((await store.get(key))[0])
    assert (told.snapshots, told.info.files, told.info.bytes, told.stored_bytes) == (4, 2, 150_001, size)
    assert 3 * 150_000 < told.history_bytes < 3 * 151_000
    assert (told.parent, told.shared_bytes, told.forks) == (None, 0, 1)
    assert [tag.label for tag in told.tags] == ["first"]
    copy = await volumes.stat(COPY)
    assert (copy.snapshots, copy.stored_bytes, copy.history_bytes, copy.parent) == (0, 0, 0, "web")
    assert 150_000 < copy.shared_bytes < 151_000
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    await volumes.gc(WEB)
    after = await volumes.stat(WEB)
    assert (after.snapshots, told.stored_bytes - after.stored_bytes > 0) == (4, False)
    await volumes.untag(WEB, "first")
    await volumes.thin(WEB, LAST_TWO)
    await volumes.gc(WEB)
    assert (await volumes.stat(WEB)).snapshots == 3
    assert told.stored_bytes - (await volumes.stat(WEB)).stored_bytes > 149_000


# Housekeeping -----------------------------------------------------------


async def test_housekeeping_does_it_for_all_and_stops_at_none(
    store: MemoryStore, tmp_path: Path, clock: HandClock
) -> None:
    volumes = Volumes(store, tmp_path / "cache", clock=clock)
    removed, elsewhere, hurt = (VolumeName.parse(name) for name in ("removed", "other/web", "hurt"))
    for name in (WEB, removed, elsewhere, hurt):
        await grow(volumes, clock, range(1, 4), name)
    await volumes.remove(removed)
    (first,) = [
        key for key in await keys_of(store, "volumes/default/hurt/") if key.endswith("/" + "2".zfill(20))
    ]
    await store.put(first, b"damaged")
    clock.move(8 * DAY_S)
    rules = RetentionRules(keep_all_s=DAY_S, keep_last=1, hourly=0, daily=0, weekly=0, monthly=0)
    done = await volumes.housekeep("default", rules)
    assert (done.volumes, done.dropped) == (3, 1)
    assert [problem.partition(":")[0] for problem in done.problems] == ["hurt"]
    assert done.bytes > 4 * 150_000
    await assert_kept(volumes, [2, 3])
    await assert_kept(volumes, [1, 2, 3], elsewhere)
    assert await keys_of(store, "volumes/default/removed/") == []
