"""kill -9 of a writer, at any instant: nothing that was told to be safe is lost, and nothing is torn."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from hutch.volumes import ObjectStore, VolumeName, Volumes
from support.bounds import chance, limit_s, times
from support.fork_server import ForkServer, fork_server
from support.generations import generation
from support.store_places import shared_place, store_at

pytestmark = pytest.mark.slow
_LANES = 8  # volumes whose writers are killed at the same time; mostly they wait
# From when on a writer lives on for how long: while it recovers, takes over and checks out; while it
# streams, first after 0.2 s; when something was told to be safe.
_LIFE_S = {"start": 0.15, "found": 0.8, "safe": 0.4}
_STAGES = {"found": ("found",), "safe": ("streamed", "committed")}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@dataclass
class Safe:
    """What was told to be safe in one snapshot. `exactly`: nothing but this."""

    snapshot: int
    generation: int
    exactly: bool


@dataclass
class Lane:
    """One volume, whose writers are killed one after the other."""

    forks: ForkServer
    place: str
    folder: Path
    name: VolumeName
    wrote: int = 0
    safe: list[Safe] = field(default_factory=list)
    kills: int = 0

    async def kill_writers(self, often: int) -> None:
        rng = chance(f"kills of {self.name}")
        for left in reversed(range(often)):
            stage = rng.choice(list(_LIFE_S)) if left else "safe"
            await self._kill_one(stage, rng.random() * _LIFE_S[stage], rng.randrange(1 << 30))
            if rng.random() < 0.5:  # the host is lost: what is not in the store is gone
                shutil.rmtree(self.folder / "cache", ignore_errors=True)
                self.wrote = 0

    async def _kill_one(self, stage: str, life_s: float, seed: int) -> None:
        argv = ("generations", self.place, self.folder / "cache", self.name.name, seed)
        writer = self.forks.start(self.folder / "said", *map(str, argv))
        if stage != "start":
            await writer.until(lambda said: any(word in _STAGES[stage] for word, *_ in said))
        await anyio.sleep(life_s)  # the instant is what is tested
        writer.kill()
        assert writer.end() == -9, "the writer failed by itself: its traceback is in the captured output"
        said = writer.said()
        self.kills += 1
        if not said:
            return
        assert said[0][0] == "found"
        found = int(said[0][1])
        assert found >= self.wrote, "a generation that lay in the folder is lost"
        assert not self.safe or found >= self.safe[-1].generation, "what was told to be safe is lost"
        for word, *numbers in said:
            if word == "wrote":
                self.wrote = int(numbers[0])
            elif word != "found":
                snapshot, number = map(int, numbers)
                self.safe.append(Safe(snapshot, number, word == "committed"))

    async def prove(self, store: ObjectStore, empty: Path, often: int) -> None:
        """Look at the newest snapshots, and some of the others, through caches that never saw the volume."""
        volumes = Volumes(store, empty)
        numbers = {snapshot.number for snapshot in await volumes.log(self.name, 1_000_000)}
        assert {each.snapshot for each in self.safe} <= numbers
        newest = (await volumes.info(self.name)).snapshot
        assert newest >= self.safe[-1].snapshot
        sample = chance(f"sample of {self.name}").sample(self.safe, min(often, len(self.safe)))
        for each in [*sample, self.safe[-1], Safe(newest, self.safe[-1].generation, exactly=False)]:
            async with volumes.check_out_read_only(self.name, each.snapshot) as folder:
                found = generation(folder, exactly=each.generation if each.exactly else None)
                assert found >= each.generation, each
        assert (await volumes.check(self.name)).problems == ()


async def kill_and_prove(forks: ForkServer, place: str, folder: Path, kills: int) -> None:
    made = [Lane(forks, place, folder / f"lane-{n}", VolumeName.parse(f"lane-{n}")) for n in range(_LANES)]
    for lane in made:
        lane.folder.mkdir()
    async with anyio.create_task_group() as tasks:
        for lane in made:
            tasks.start_soon(lane.kill_writers, -(-kills // _LANES))
    assert sum(lane.kills for lane in made) >= kills
    assert sum(len(lane.safe) for lane in made) > kills // 4  # a test that tells nothing proves nothing
    async with store_at(place) as store:
        for lane in made:
            await lane.prove(store, folder / "empty", times(12, long=200))
        reader = Volumes(store, folder / "empty")
        # No conflicts
        assert [info.name for info in await reader.list()] == [str(lane.name) for lane in made]


@pytest.mark.timeout(limit_s(300, long=1800))
async def test_kill_9_of_a_writer_loses_nothing_and_tears_nothing(forks: ForkServer, tmp_path: Path) -> None:
    await kill_and_prove(forks, str(tmp_path / "store"), tmp_path, times(96, long=1000))


@pytest.mark.timeout(limit_s(300, long=900))
async def test_kill_9_of_a_writer_to_a_server_loses_nothing(
    forks: ForkServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = shared_place("s3", request, tmp_path)
    await kill_and_prove(forks, place, tmp_path, times(24, long=200))
