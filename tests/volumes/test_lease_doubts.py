"""Answers about a lease that were lost or are false: it is neither lost by them nor kept for good."""

from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    FaultyStore,
    LeaseHeldError,
    LeaseLostError,
    MemoryStore,
    StoreError,
    VolumeName,
    Volumes,
)
from hutch.volumes.stores.protocol import Condition
from support.volume_engine import WEB, HandClock, run_on, tree_of
from support.volume_model import Cable


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
        with anyio.fail_after(60):
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
        with anyio.fail_after(60):
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
