"""One writer at a time, and a writer that lost its lease never writes again."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from hutch.volumes import (
    DirectoryStore,
    LeaseHeldError,
    LeaseLostError,
    MemoryStore,
    VolumeName,
    Volumes,
)
from support.volume_engine import WEB, HandClock, Host, OtherMachine, commit_files, program, run_on, tree_of


async def test_a_held_volume_tells_who_holds_it_and_until_when(tmp_path: Path) -> None:
    clock = HandClock()
    host = Host(MemoryStore(), tmp_path / "cache", clock)
    async with host.volumes.lease(WEB, "run 3f2a", create=True):
        with pytest.raises(LeaseHeldError) as caught:
            await host.volumes.lease(WEB, "run 2").__aenter__()
    assert (caught.value.code, caught.value.message) == (
        "volume_held",
        "volume 'web' is held by run 3f2a since 12:00:00Z",
    )
    assert caught.value.hint == "wait, or end it with: hutch stop 3f2a"


@pytest.mark.parametrize(
    ("holder", "hint"),
    [
        ("r-7f3k2m9xqa", "wait, or end it with: hutch stop r-7f3k2m9xqa"),
        ("s-7f3k2m9xqa", "wait, or end it with: hutch stop s-7f3k2m9xqa"),
        ("volume put", "wait until it has ended"),
    ],
)
async def test_only_a_run_or_a_sandbox_that_holds_a_volume_can_be_ended(
    tmp_path: Path, holder: str, hint: str
) -> None:
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    async with volumes.lease(WEB, holder, create=True):
        with pytest.raises(LeaseHeldError) as caught:
            await volumes.lease(WEB, "r-other").__aenter__()
    assert caught.value.hint == hint


async def test_one_who_waits_gets_the_lease_when_it_is_given_back(tmp_path: Path) -> None:
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    order: list[str] = []

    async def wait() -> None:
        async with volumes.lease(WEB, "run 2", wait_s=30) as lease:
            order.append(f"second has {lease.token}")

    async with anyio.create_task_group() as tasks, volumes.lease(WEB, "run 1", create=True) as lease:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        order.append(f"first has {lease.token}")
    assert order == ["first has 1", "second has 2"]


async def test_an_expired_lease_is_taken_by_the_contenders_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    host = Host(MemoryStore(clock.now), tmp_path / "cache", clock)
    with OtherMachine(monkeypatch):
        async with host.volumes.lease(WEB, "sleeper", create=True) as lease:
            monkeypatch.undo()
            clock.wall = clock.wall.replace(year=2020)  # nothing can be told from the wall
            contender = Host(host.store, tmp_path / "other", clock)
            for seconds in (0, 40, 24):
                clock.ticks += seconds
                with pytest.raises(LeaseHeldError):
                    await contender.volumes.lease(WEB, "contender").__aenter__()
            clock.ticks += 2
            async with contender.volumes.lease(WEB, "contender") as taken:
                assert (lease.token, taken.token) == (1, 2)
    assert (await contender.volumes.info(WEB)).held_by is None


async def test_a_lease_that_ran_out_long_ago_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    host = Host(MemoryStore(clock.now), tmp_path / "cache", clock)
    with OtherMachine(monkeypatch):
        sleeper = host.volumes.lease(WEB, "sleeper", create=True)
        await sleeper.__aenter__()
    clock.move(121)
    async with Host(host.store, tmp_path / "other", clock).volumes.lease(WEB, "contender") as lease:
        assert lease.token == 2
    await sleeper.__aexit__(None, None, None)
    assert (await host.volumes.info(WEB)).held_by is None


@pytest.mark.parametrize("days", [1, -1, 400])
@pytest.mark.parametrize("whose", ["holder", "contender"])
async def test_a_clock_that_is_wrong_by_days_takes_no_lease_from_a_living_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, whose: str
) -> None:
    right, wrong = HandClock(), HandClock()
    wrong.wall += timedelta(days=days)
    clocks = {"holder": right, "contender": right} | {whose: wrong}
    store = MemoryStore(right.now)
    with OtherMachine(monkeypatch):
        holding = Host(store, tmp_path / "one", clocks["holder"]).volumes.lease(WEB, "run 1", create=True)
        lease = await holding.__aenter__()
    contender = Host(store, tmp_path / "two", clocks["contender"]).volumes
    for _ in range(5):
        for clock in (right, wrong):
            clock.move(50)
        await Host(store, tmp_path / "one", clocks["holder"]).volumes._leases.renew(lease)
        with pytest.raises(LeaseHeldError):
            await contender.lease(WEB, "run 2").__aenter__()
    await holding.__aexit__(None, None, None)
    async with contender.lease(WEB, "run 2") as taken:
        assert taken.token == 2


async def test_a_lease_that_ran_out_tells_how_long_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    store = MemoryStore(clock.now)
    with OtherMachine(monkeypatch):
        left = Host(store, tmp_path / "one", clock).volumes.lease(WEB, "run 1", create=True)
        await left.__aenter__()
    contender = Host(store, tmp_path / "two", clock).volumes
    for seconds, hint in (
        (50, "wait, or end it with: hutch stop 1"),
        (15, "it is not renewed any more and can be taken over in 50 s"),
    ):
        clock.move(seconds)
        with pytest.raises(LeaseHeldError) as caught:
            await contender.lease(WEB, "run 2").__aenter__()
        assert caught.value.hint == hint
    clock.move(51)
    async with contender.lease(WEB, "run 2") as lease:
        assert lease.token == 2
    await left.__aexit__(None, None, None)


async def test_who_lost_its_lease_cannot_commit_and_its_work_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    store = MemoryStore(clock.now)
    one, two = Host(store, tmp_path / "one", clock), Host(store, tmp_path / "two", clock)
    await commit_files(one.volumes, {"a": b"1"})
    with OtherMachine(monkeypatch):
        sleeping = run_on(one.volumes, "sleeper")
        lease, folder = await sleeping.__aenter__()
    (folder / "a").write_bytes(b"of the sleeper")
    clock.move(200)
    async with run_on(two.volumes, "contender") as (other, its_folder):
        with pytest.raises(LeaseLostError) as caught:
            await one.volumes.commit(lease, "sleeper")
        (its_folder / "a").write_bytes(b"of the contender")
        await two.volumes.commit(other, "contender")
    conflict = "web@conflict-20261121T120320Z"
    assert caught.value.hint == f"what this run changed is in volume '{conflict}'"
    assert lease.lost.is_set()
    await sleeping.__aexit__(None, None, None)
    assert await tree_of(one.volumes) == {"/a": b"of the contender"}
    assert await tree_of(one.volumes, name=VolumeName.parse(conflict)) == {"/a": b"of the sleeper"}
    async with run_on(one.volumes) as (_, folder):
        assert (folder / "a").read_bytes() == b"of the contender"


async def test_a_pause_in_which_nobody_came_costs_nothing(tmp_path: Path) -> None:
    clock = HandClock()
    host = Host(MemoryStore(), tmp_path / "cache", clock)
    async with run_on(host.volumes) as (lease, folder):
        clock.move(10_000)
        (folder / "a").write_bytes(b"1")
        assert await host.volumes.commit(lease, "run 1") is not None
        assert lease.record.expires_at > clock.now()


async def test_the_lease_of_a_dead_process_is_free_and_its_work_is_committed(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    with program("sleep", str(store), str(cache)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
    volumes = Volumes(DirectoryStore(store), cache)
    async with run_on(volumes, "next") as (lease, folder):
        assert lease.token == 2
        assert (folder / "work").read_text() == "of the sleeper"
    assert [(s.number, s.run_id) for s in await volumes.log(WEB)] == [(2, "sleeper")]  # 1 is the fence
