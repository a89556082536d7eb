"""A volume's history has a bound: what a run left behind itself while it worked goes first."""

import random
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hutch.volumes import (
    FaultyStore,
    MemoryStore,
    ObjectStore,
    Quotas,
    RetentionRules,
    StoreError,
    VolumeName,
    VolumeQuota,
    Volumes,
)
from support.volume_engine import WEB, copy_of, error_of, run_on, tree_of
from support.volume_history import COPY, DAY_S
from support.volume_steps import commits

LIMIT = 1_000_000
BOUND = Quotas(VolumeQuota(max_history_bytes=LIMIT))
ALL = RetentionRules(keep_all_s=DAY_S, keep_last=0, hourly=0, daily=0, weekly=0, monthly=0)
NOW = RetentionRules(keep_all_s=0, keep_last=2, hourly=0, daily=0, weekly=0, monthly=0)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lambda: datetime.now(UTC))


@pytest.fixture
def volumes(store: ObjectStore, tmp_path: Path) -> Volumes:
    return Volumes(store, tmp_path / "cache", quotas=BOUND)


def content(number: int) -> bytes:
    return random.Random(number).randbytes(200_000)


async def stream(volumes: Volumes, run_id: str, numbers: range, tagged: int = 0) -> int:
    """One run that writes a file again and again; returns the most that its history took."""
    most = 0
    async with run_on(volumes, run_id) as (lease, folder):
        async with volumes.stream(lease, run_id) as streaming:
            for count, number in enumerate(numbers, 1):
                (folder / "log").write_bytes(content(number))
                await commits(streaming, count)
                assert streaming.status.problem is None
                most = max(most, (await volumes.stat(WEB)).history_bytes)
                if count == tagged:
                    await volumes.tag(WEB, "wanted")
        await volumes.commit(lease, run_id)
    return most


async def write_runs(volumes: Volumes, numbers: range) -> None:
    for number in numbers:
        async with run_on(volumes, f"run {number}") as (lease, folder):
            (folder / "log").write_bytes(content(number))
            await volumes.commit(lease, f"run {number}")


async def test_a_run_that_writes_a_file_again_and_again_does_not_fill_the_store(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await write_runs(volumes, range(1, 3))
    most = await stream(volumes, "run a", range(10, 26), tagged=2)
    assert LIMIT / 2 < most < LIMIT + 2 * 201_000
    reader = Volumes(store, tmp_path / "reader")
    assert (await reader.check(WEB)).problems == ()
    assert await tree_of(reader) == {"/log": content(25)}
    # What ended runs left, and what has a name, is still there.
    assert await tree_of(reader, 1) == {"/log": content(1)}
    assert await tree_of(reader, 2) == {"/log": content(2)}
    assert await tree_of(reader, "wanted") == {"/log": content(11)}
    left = [each.number for each in await reader.log(WEB, 100)]
    assert len(left) < 12
    # Judged early is not judged twice: a day is a day.
    assert (await volumes.thin(WEB, ALL)).dropped == ()


async def test_where_ended_runs_fill_the_history_a_commit_is_refused_and_its_work_kept(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await write_runs(volumes, range(1, 7))  # the newest is no history
    refused = await error_of(lambda: write_runs(volumes, range(7, 8)))
    assert (refused.code, refused.message.partition(", and")[0]) == (
        "history_full",
        "the history of volume 'web' may take 1000000 bytes",
    )
    kept = VolumeName.parse(refused.hint.split("'")[1])
    assert await tree_of(volumes, name=kept) == {"/log": content(7)}
    assert (await error_of(lambda: volumes.write(WEB, "/b", b"1"))).code == "history_full"
    async with volumes.scratch() as source, volumes.lease(WEB, "put") as lease:
        (source / "b").write_bytes(b"1")
        assert (await error_of(lambda: volumes.put_folder(lease, "/", source))).code == "history_full"
    async with run_on(volumes, "run 8") as (lease, _):  # who changes nothing is not refused
        assert await volumes.commit(lease, "run 8") is None
    for number in range(1, 7):
        assert await tree_of(volumes, number) == {"/log": content(number)}
    # What is let go makes room at once: its packs are told by entries, so nobody else is about to.
    await volumes.thin(WEB, NOW)
    assert (await volumes.gc(WEB)).packs == 3
    await write_runs(volumes, range(7, 8))
    reader = Volumes(store, tmp_path / "reader")
    assert [each.number for each in await reader.log(WEB)] == [7, 6, 5, 4]
    assert (await reader.check(WEB)).problems == ()


async def test_what_a_fork_needs_counts_and_stays(
    volumes: Volumes, store: ObjectStore, tmp_path: Path
) -> None:
    await stream(volumes, "run a", range(1, 3))
    await volumes.fork(WEB, COPY, at=1)
    await stream(volumes, "run b", range(10, 20))
    reader = Volumes(store, tmp_path / "reader")
    assert await tree_of(reader, name=COPY) == {"/log": content(1)}
    assert (await reader.check(WEB)).problems == (await reader.check(COPY)).problems == ()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_stop_at_any_write_while_history_is_let_go_loses_nothing(
    volumes: Volumes, store: MemoryStore, tmp_path: Path, after: bool
) -> None:
    await stream(volumes, "run a", range(1, 6))
    newest = (await volumes.info(WEB)).snapshot
    tight = Quotas(VolumeQuota(max_history_bytes=300_000))
    for number in range(1, 60):
        copy = await copy_of(store)
        faulty = FaultyStore(copy, fail_at=number, after=after)
        with suppress(StoreError):
            await Volumes(faulty, tmp_path / "writer", quotas=tight).write(WEB, "/b", content(9))
        reader = Volumes(copy, tmp_path / "reader", quotas=tight)
        tree = await tree_of(reader)
        assert tree in ({"/log": content(5)}, {"/log": content(5), "/b": content(9)})
        assert await tree_of(reader, newest) == {"/log": content(5)}
        assert (await reader.check(WEB)).problems == ()
        if not faulty.has_failed:
            assert number > 8
            return
    raise AssertionError
