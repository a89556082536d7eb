"""History is thinned out by rules."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import ObjectStore, RetentionRules, Volumes
from hutch.volumes.past.keeping import Kept
from hutch.volumes.past.retention import chosen
from support.volume_engine import WEB, HandClock, run_on, tree_of
from support.volume_history import COPY, DAY_S, LAST_TWO, assert_kept, grow, grown
from support.volume_model import Cable


@pytest.fixture
def store(ageing_store: ObjectStore) -> ObjectStore:
    return ageing_store


# Rules ------------------------------------------------------------------


def every(minutes: int, count: int) -> list[Kept]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        Kept(number, start + timedelta(minutes=minutes * number), f"run {number}") for number in range(count)
    ]


NOTHING = {"keep_last": 0, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0}


@pytest.mark.parametrize(
    ("rules", "numbers"),
    [
        ({}, set()),
        ({"keep_last": 3}, {237, 238, 239}),
        ({"hourly": 2}, {235, 239}),
        ({"daily": 2}, {191, 239}),
        ({"daily": 9}, {47, 95, 143, 191, 239}),
        ({"weekly": 5}, {191, 239}),
        ({"monthly": 5}, {239}),
        ({"keep_last": 1, "hourly": 1, "daily": 3}, {143, 191, 239}),
    ],
)
def test_rules_choose_the_newest_of_each_period(rules: dict[str, int], numbers: set[int]) -> None:
    half_hourly = every(30, 240)  # five days: four hours end with 235 and 239, days with 47, 95 …
    if "hourly" in rules and rules["hourly"] == 2:
        numbers = {237, 239}
    assert chosen(half_hourly, RetentionRules(**NOTHING | rules)) == numbers


def test_of_a_run_that_streamed_only_the_last_snapshot_is_chosen() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    history = [
        Kept(1, at, "run a", while_running=True),
        Kept(2, at, "run a", while_running=True),
        Kept(3, at, "run a"),
        Kept(4, at, "run b", while_running=True),
        Kept(5, at, "run b", while_running=True),  # its daemon died
    ]
    assert chosen(history, RetentionRules()) == {3, 5}


# Thinning ---------------------------------------------------------------


async def test_older_snapshots_go_by_the_rules(volumes: Volumes, clock: HandClock) -> None:
    await grow(volumes, clock, range(1, 8))
    told = await volumes.thin(WEB, LAST_TWO, dry_run=True)
    assert (told.kept, told.dropped, told.dry_run) == ((5, 6), (1, 2, 3, 4), True)
    await assert_kept(volumes, [1, 2, 3, 4, 5, 6, 7])
    told = await volumes.thin(WEB, LAST_TWO)
    assert (told.kept, told.dropped) == ((5, 6), (1, 2, 3, 4))
    await assert_kept(volumes, [5, 6, 7])
    await grow(volumes, clock, range(8, 10))
    assert (await volumes.thin(WEB, LAST_TWO)).dropped == (5, 6)
    await assert_kept(volumes, [7, 8, 9])
    with pytest.raises(HutchError) as caught:
        await volumes.tag(WEB, "late", 2)
    assert caught.value.code == "snapshot_unknown"
    assert "was not kept" in caught.value.message
    assert await volumes.tags(WEB) == ()


async def test_what_is_young_or_newest_is_never_let_go(volumes: Volumes, clock: HandClock) -> None:
    await grow(volumes, clock, range(1, 4))
    nothing = RetentionRules(keep_all_s=0, **NOTHING)
    assert (await volumes.thin(WEB, RetentionRules(keep_all_s=DAY_S, **NOTHING))).dropped == ()
    assert (await volumes.thin(WEB, nothing)).dropped == (1, 2)
    await assert_kept(volumes, [3])


async def test_a_fence_that_changed_nothing_leaves_the_newest_snapshot_the_newest(
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 4))
    cable = Cable(store)
    async with run_on(Volumes(cable, tmp_path / "dead", clock=clock), "dead"):
        cable.is_cut = True
    clock.move(1000)  # its lease has run out
    async with run_on(volumes, "another"):
        pass
    clock.move(2 * DAY_S)
    assert (await volumes.thin(WEB, RetentionRules(keep_all_s=0, **NOTHING))).dropped == (1, 2)
    await volumes.gc(WEB)
    await assert_kept(volumes, [3])


async def test_a_wrong_clock_of_a_writer_lets_nothing_go_too_early(
    store: ObjectStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    await grow(volumes, clock, range(1, 3))
    wrong = HandClock()
    for number, year in ((3, 1971), (4, 2090)):
        wrong.wall = clock.wall.replace(year=year)
        wrong.ticks = clock.ticks
        await grow(
            Volumes(store, tmp_path / f"wrong-{number}", clock=wrong), wrong, range(number, number + 1)
        )
    await grow(volumes, clock, range(5, 6))
    rules = RetentionRules(keep_all_s=DAY_S, **NOTHING)
    assert (await volumes.thin(WEB, rules)).dropped == ()
    clock.move(2 * DAY_S)
    assert (await volumes.thin(WEB, rules)).dropped == (1, 2, 3, 4)


async def test_tags_and_forks_keep_their_snapshot(volumes: Volumes, clock: HandClock) -> None:
    await grow(volumes, clock, range(1, 7))
    await volumes.tag(WEB, "release", 2)
    await volumes.fork(WEB, COPY, at=3)
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    await volumes.gc(WEB)
    await assert_kept(volumes, [2, 3, 4, 5, 6])
    assert await tree_of(volumes, name=COPY) == grown(3)
    await volumes.untag(WEB, "release")
    await volumes.thin(WEB, LAST_TWO)
    await volumes.gc(WEB)
    await assert_kept(volumes, [3, 4, 5, 6])
