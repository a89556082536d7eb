"""Between any two requests something else happens: no collection deletes what is needed."""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, MemoryStore, ObjectStore, RetentionRules, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, Tree, copy_of, run_on, tree_of
from support.volume_interleaving import InterposedStore

COPY = VolumeName.parse("copy")
LAST_ONE = RetentionRules(keep_all_s=0, keep_last=1, hourly=0, daily=0, weekly=0, monthly=0)
DAY_S = 86_400.0
Step = Callable[[Volumes], Awaitable[None]]


def content(number: int) -> bytes:
    return random.Random(number).randbytes(80_000)


async def collect(volumes: Volumes) -> None:
    await volumes.thin(WEB, LAST_ONE)
    await volumes.gc(WEB)


async def commit(volumes: Volumes) -> None:
    """Brings back content that only a dropped snapshot has."""
    async with run_on(volumes, "run 7") as (lease, folder):
        (folder / "large").write_bytes(content(1))
        await volumes.commit(lease, "run 7")


async def fork(volumes: Volumes) -> None:
    await volumes.fork(WEB, COPY, at=2)
    async with run_on(volumes, "run 8", COPY) as (lease, folder):
        (folder / "new").write_bytes(b"of the fork")
        await volumes.commit(lease, "run 8")


async def tag(volumes: Volumes) -> None:
    await volumes.tag(WEB, "kept", 2)


async def restore(volumes: Volumes) -> None:
    await volumes.restore(WEB, 2)


async def remove(volumes: Volumes) -> None:
    await volumes.remove(WEB)
    await volumes.bring_back(WEB)


STEPS: dict[str, Step] = {
    "collect": collect,
    "commit": commit,
    "fork": fork,
    "tag": tag,
    "restore": restore,
    "remove": remove,
}


async def base_store(clock: HandClock, cache: Path) -> MemoryStore:
    """Five snapshots, a day old."""
    store = MemoryStore(clock.now)
    volumes = Volumes(store, cache, clock=clock)
    for number in range(1, 6):
        async with run_on(volumes, f"run {number}") as (lease, folder):
            (folder / "large").write_bytes(content(number))
            (folder / "note").write_bytes(b"%d" % number)
            await volumes.commit(lease, f"run {number}")
    return store


async def requests_of(step: Step, store: MemoryStore, cache: Path, clock: HandClock) -> int:
    counting = InterposedStore(store)
    await step(Volumes(counting, cache, clock=clock))
    return counting.requests


async def allowing_refusal(step: Step, volumes: Volumes) -> None:
    """A step may be refused, because a snapshot is not kept or the volume held; it may not be fooled."""
    try:
        await step(volumes)
    except HutchError as error:
        if error.code not in ("snapshot_unknown", "volume_held", "volume_unknown", "object_conflict"):
            raise


async def assert_whole(store: ObjectStore, cache: Path, clock: HandClock | None = None) -> None:
    """Everything that anybody was promised is there."""
    reader = Volumes(store, cache, clock=clock)
    for info in await reader.list():
        name = VolumeName.parse(info.name)
        assert (await reader.check(name)).problems == ()
        for snapshot in await reader.log(name, 1000):
            tree = await tree_of(reader, snapshot.number, name)
            if name == WEB and snapshot.number <= 5:
                number = snapshot.number
                assert tree == {"/large": content(number), "/note": b"%d" % number}
        for each in await reader.tags(name):
            assert (await tree_of(reader, each.label, name))["/note"] == b"2"
    if COPY.name in [info.name for info in await reader.list()]:
        expected: Tree = {"/large": content(2), "/note": b"2"}
        tree = await tree_of(reader, name=COPY)
        assert tree in (expected, expected | {"/new": b"of the fork"})


async def pairs(outer: Step, inner: Step, tmp_path: Path, *, age_s: float = 2 * DAY_S) -> None:
    """`inner` happens before each single request of `outer`."""
    clock = HandClock()
    base = await base_store(clock, tmp_path / "base")
    clock.move(age_s)
    count = await requests_of(outer, await copy_of(base, clock.now), tmp_path / "counting", clock)
    for number in range(1, count + 1):
        store = await copy_of(base, clock.now)
        other = Volumes(store, tmp_path / f"other-{number}", clock=clock)

        async def meanwhile(other: Volumes = other) -> None:
            await allowing_refusal(inner, other)

        interposed = InterposedStore(store, number, meanwhile)
        await allowing_refusal(outer, Volumes(interposed, tmp_path / f"one-{number}", clock=clock))
        await assert_whole(store, tmp_path / "reader", clock)
        clock.move(2 * DAY_S)
        await collect(Volumes(store, tmp_path / "later", clock=clock))
        await assert_whole(store, tmp_path / "reader", clock)
        clock.move(-2 * DAY_S)


@pytest.mark.parametrize("name", STEPS)
async def test_anything_may_happen_in_the_midst_of_a_collection(tmp_path: Path, name: str) -> None:
    await pairs(collect, STEPS[name], tmp_path)


@pytest.mark.parametrize("name", [name for name in STEPS if name != "collect"])
async def test_a_collection_may_happen_in_the_midst_of_anything(tmp_path: Path, name: str) -> None:
    await pairs(STEPS[name], collect, tmp_path)


@pytest.mark.parametrize("name", ["commit", "fork", "restore"])
async def test_what_is_young_is_collected_only_where_no_commit_can_need_it(tmp_path: Path, name: str) -> None:
    """Packs that an entry tells may go at once, those that none tells yet may not."""
    await pairs(STEPS[name], collect, tmp_path / "in the midst", age_s=0)
    await pairs(collect, STEPS[name], tmp_path / "of a collection", age_s=0)


class Race:
    """One writes, one forks, two thin out and collect; each as a daemon of its own on real files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = DirectoryStore(folder / "store")
        self.forks: list[tuple[VolumeName, Tree]] = []
        self.written: list[bytes] = []
        self.over = anyio.Event()

    async def write(self) -> None:
        volumes = Volumes(self.store, self.folder / "writer")
        for number in range(40):
            async with run_on(volumes, f"run {number}") as (lease, folder):
                (folder / "large").write_bytes(content(number))
                await volumes.commit(lease, f"run {number}")
            self.written.append(content(number))
        self.over.set()

    async def collect(self, host: str) -> None:
        volumes = Volumes(self.store, self.folder / host)
        rules = RetentionRules(keep_all_s=0, keep_last=2, hourly=0, daily=0, weekly=0, monthly=0)
        while not self.over.is_set():
            with suppress(HutchError):  # the volume is not there yet; another was quicker
                await volumes.thin(WEB, rules)
                await volumes.gc(WEB)
            await anyio.lowlevel.checkpoint()

    async def fork(self) -> None:
        volumes = Volumes(self.store, self.folder / "forker")
        while not self.over.is_set():
            if len(self.written) > 2:
                name = VolumeName.parse(f"fork-{len(self.forks):03}")
                at = random.Random(len(self.forks)).randrange(len(self.written) - 2, len(self.written) + 1)
                with suppress(HutchError):  # it was not kept
                    await volumes.fork(WEB, name, at=at)
                    self.forks.append((name, {"/large": content(at - 1)}))
            await anyio.sleep(0.01)


async def test_writers_forkers_and_collectors_at_once(tmp_path: Path) -> None:
    race = Race(tmp_path)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(race.write)
            tasks.start_soon(race.fork)
            tasks.start_soon(race.collect, "one")
            tasks.start_soon(race.collect, "two")
    reader = Volumes(race.store, tmp_path / "reader")
    assert len(race.forks) > 3
    assert await tree_of(reader) == {"/large": race.written[-1]}
    for name, tree in race.forks:
        assert await tree_of(reader, name=name) == tree
    assert (await reader.check(WEB)).problems == ()
