"""Whoever protects a snapshot and is not refused has it, whoever else is at work at the same instant."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, copy_of, run_on, tree_of
from support.volume_history import COPY, DAY_S, LAST_TWO, grow, grown
from support.volume_interleaving import InterposedStore

AGAIN = VolumeName.parse("again")
Protect = Callable[[Volumes], Awaitable[object]]
PROTECT: dict[str, tuple[Protect, str | None, VolumeName]] = {
    "tag": (lambda volumes: volumes.tag(WEB, "late", 2), "late", WEB),
    "fork": (lambda volumes: volumes.fork(WEB, COPY, at=2), None, COPY),
}


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock.now)


class Between:
    """A step that something comes between, before its request number `at`."""

    def __init__(self, store: MemoryStore, cache: Path, clock: HandClock) -> None:
        self.store = store
        self._cache = cache
        self._clock = clock
        self.refusal: str | None = None

    def host(self, name: str) -> Volumes:
        return Volumes(self.store, self._cache / name, clock=self._clock)

    async def step(self, name: str, step: Protect, at: int, meanwhile: Protect) -> None:
        async def work() -> None:
            await meanwhile(self.host(f"beside {name}"))

        store = InterposedStore(self.store, at, work)
        try:
            await step(Volumes(store, self._cache / name, clock=self._clock))
        except HutchError as error:
            self.refusal = error.code


async def requests_of(step: Protect, store: MemoryStore, cache: Path, clock: HandClock) -> int:
    counting = InterposedStore(await copy_of(store, clock.now))
    await step(Volumes(counting, cache / "counting", clock=clock))
    return counting.requests


@pytest.mark.parametrize("how", PROTECT)
async def test_what_was_let_go_is_not_promised_while_one_collects_and_another_thins(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path, how: str
) -> None:
    """The collection began before the tag was put, and thinning meets the tag before it was refused."""
    protect, at, name = PROTECT[how]
    await grow(volumes, clock, range(1, 6))
    await volumes.thin(WEB, LAST_TWO)
    clock.move(2 * DAY_S)
    refusals = set()
    for at_collection in range(1, 1 + await requests_of(lambda one: one.gc(WEB), store, tmp_path, clock)):
        for at_protection in range(1, 7):
            scene = Between(await copy_of(store, clock.now), tmp_path, clock)

            async def meanwhile(_: Volumes, scene: Between = scene, number: int = at_protection) -> None:
                await scene.step("protecting", protect, number, lambda other: other.thin(WEB, LAST_TWO))

            await scene.step("collecting", lambda one: one.gc(WEB), at_collection, meanwhile)
            refusals.add(scene.refusal)
            if scene.refusal is None:
                assert await tree_of(scene.host("reader"), at, name) == grown(2)
    assert refusals == {"snapshot_unknown"}  # it was too late before all this began


async def test_a_fork_is_not_promised_what_is_purged_meanwhile(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    """Its parent was removed long ago, and the volume that it is made from needs nothing of it any more."""
    await grow(volumes, clock, range(1, 3))
    await volumes.fork(WEB, COPY)
    async with run_on(volumes, "run", COPY) as (lease, folder):
        (folder / "large").unlink()
        await volumes.commit(lease, "run")
    for number in range(70):  # beyond a checkpoint
        await volumes.write(COPY, "/note", b"%d" % number, mode="overwrite")
    clock.move(2 * DAY_S)
    await volumes.thin(COPY, LAST_TWO)
    await volumes.remove(WEB)
    clock.move(8 * DAY_S)

    async def fork(one: Volumes) -> None:
        await one.fork(COPY, AGAIN, at=0)

    async def purge(other: Volumes) -> None:
        await other.gc(COPY)
        await other.gc(WEB)

    refusals = set()
    for at in range(1, 1 + await requests_of(fork, store, tmp_path, clock)):
        scene = Between(await copy_of(store, clock.now), tmp_path, clock)
        await scene.step("forking", fork, at, purge)
        refusals.add(scene.refusal)
        if scene.refusal is None:  # once nothing of the beginning is left, a fork of it begins empty
            assert await tree_of(scene.host("reader"), name=AGAIN) in (grown(2), {})
    assert refusals == {None, "snapshot_unknown"}


async def test_after_a_store_was_set_back_a_collection_reads_its_log_anew(
    store: MemoryStore, volumes: Volumes, clock: HandClock, tmp_path: Path
) -> None:
    """Other entries have numbers that it read before: their packs are needed all the same."""
    await grow(volumes, clock, range(1, 3))
    backup = await copy_of(store, clock.now)
    await grow(volumes, clock, range(3, 6))
    assert (await volumes.gc(WEB)).bytes == 0
    store._objects, store._modified_at = backup._objects, backup._modified_at
    later = Volumes(store, tmp_path / "after", clock=clock)
    await grow(later, clock, range(13, 17))
    clock.move(2 * DAY_S)
    assert (await volumes.gc(WEB)).packs == 0
    assert await tree_of(later, 4) == grown(14)
    assert (await later.check(WEB)).problems == ()
