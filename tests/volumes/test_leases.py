"""One writer at a time, and a writer that lost its lease never writes again."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    DirectoryStore,
    FaultyStore,
    LeaseHeldError,
    LeaseLostError,
    MemoryStore,
    StoreError,
    VolumeName,
    Volumes,
)
from hutch.volumes.stores.protocol import Condition
from support.volume_engine import WEB, HandClock, Host, OtherMachine, commit_files, program, run_on, tree_of
from support.volume_model import Cable


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


async def test_a_lease_whose_commit_is_in_doubt_is_not_given_back(tmp_path: Path) -> None:
    inner = MemoryStore()
    volumes = Volumes(FaultyStore(inner, fail_at=2), tmp_path / "cache")

    async def fail() -> None:
        async with run_on(volumes) as (lease, folder):
            (folder / "a").write_bytes(b"1")
            await volumes.commit(lease, "run 1")

    with pytest.raises(HutchError):
        await fail()
    assert (await Volumes(inner, tmp_path / "other").info(WEB)).held_by == "run 1"


async def test_a_store_that_lost_an_answer_took_the_lease_all_the_same(tmp_path: Path) -> None:
    inner = MemoryStore()
    for token, holder in enumerate(("run 1", "run 2"), 1):
        volumes = Volumes(FaultyStore(inner, fail_at=1, after=True, stays_down=False), tmp_path / "cache")
        async with volumes.lease(WEB, holder, create=True) as lease:
            assert (lease.holder, lease.token) == (holder, token)


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


class DeafHost(Cable):
    """One that `hears_nothing` more after its next write, which takes effect."""

    hears_nothing = False

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        tag = await super().put(key, data, if_match=if_match)
        self.is_cut = self.hears_nothing
        self._pass()
        return tag


async def test_a_renewal_whose_answer_never_came_is_no_loss(tmp_path: Path) -> None:
    store, clock = MemoryStore(), HandClock()
    host = DeafHost(store)
    volumes = Volumes(host, tmp_path / "cache", clock=clock)
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        clock.move(100)  # so that it is renewed before anything is put
        host.hears_nothing = True
        with pytest.raises(StoreError):
            await volumes.commit(lease, "run 1")
        host.hears_nothing = host.is_cut = False
        assert await volumes.commit(lease, "run 1") is not None
    assert (await volumes.info(WEB)).held_by is None
    assert [info.name for info in await volumes.list()] == ["web"]


async def test_a_lease_that_nobody_uses_any_more_is_free_to_the_same_daemon(tmp_path: Path) -> None:
    """Taken without knowing it, and not given back because the store was away."""
    store = MemoryStore()
    host = DeafHost(store)
    volumes = Volumes(host, tmp_path / "cache")
    host.hears_nothing = True
    with pytest.raises(StoreError):
        await volumes.lease(WEB, "run 1", create=True).__aenter__()
    host.hears_nothing = host.is_cut = False
    other = Volumes(store, tmp_path / "other")
    with pytest.raises(LeaseHeldError):
        await other.lease(WEB, "other").__aenter__()
    async with run_on(volumes, "run 2") as (lease, folder):
        (folder / "a").write_bytes(b"1")
        await volumes.commit(lease, "run 2")
        host.is_cut = True
    with pytest.raises(LeaseHeldError):
        await other.lease(WEB, "other").__aenter__()
    host.is_cut = False
    async with run_on(volumes, "run 3") as (lease, _):
        assert lease.token == 3
        with pytest.raises(LeaseHeldError):
            await volumes.lease(WEB, "run 4").__aenter__()
    assert (await other.info(WEB)).held_by is None


async def test_a_renewal_that_is_broken_off_does_not_keep_the_lease(tmp_path: Path) -> None:
    store = MemoryStore()
    slow = SlowStore(store)
    volumes = Volumes(slow, tmp_path / "cache", lease_ttl_s=0.15)
    async with volumes.lease(WEB, "run 1", create=True):
        slow.begun = anyio.Event()
        with anyio.fail_after(20):
            await slow.begun.wait()
    assert (await volumes.info(WEB)).held_by is None


async def test_a_damaged_lease_ends_no_run_and_its_work_is_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    volumes = Volumes(store, tmp_path / "cache", lease_ttl_s=0.15)
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        await volumes.commit(lease, "run 1")
        good, _ = await store.get("leases/default/web")
        await store.put("leases/default/web", good[:-5] + b"xxxxx")
        with anyio.fail_after(20):
            await lease.lost.wait()
        (folder / "a").write_bytes(b"2")
        with pytest.raises(LeaseLostError) as lost:
            await volumes.commit(lease, "run 1")
    kept = VolumeName.parse(lost.value.hint.split("'")[1])
    assert await tree_of(volumes, name=kept) == {"/a": b"2"}
    with pytest.raises(HutchError) as damaged:
        await volumes.lease(WEB, "run 2").__aenter__()
    assert damaged.value.code == "volume_damaged"
    await store.put("leases/default/web", good)
    assert await tree_of(volumes) == {"/a": b"1"}


class SlowStore(Cable):
    """A write that is broken off has taken effect all the same; `begun` is set when there is one."""

    begun = anyio.Event()

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        tag = await self._inner.put(key, data, if_match=if_match)
        self.begun.set()
        await anyio.sleep(0.05)
        return tag
