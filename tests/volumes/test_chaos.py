"""Several hosts want one volume, and all of them are stopped, woken and killed at any instant."""

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import pytest

from hutch.volumes import VolumeName, Volumes
from support.bounds import IS_LONG, chance, limit_s, times
from support.fork_server import Forked, ForkServer, fork_server
from support.generations import generation
from support.store_places import shared_place, store_at
from support.volume_engine import WEB
from support.volume_programs import SHORT_TTL_S

pytestmark = pytest.mark.slow
_HOSTS = 3
_LONGEST_S = 2.5 * SHORT_TTL_S  # asleep


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@dataclass
class ChaosHost:
    """One machine: what its writers said."""

    forks: ForkServer
    place: str
    folder: Path
    rng: Random
    committed: dict[int, int] = field(default_factory=dict)  # snapshot -> generation
    refused: dict[str, int] = field(default_factory=dict)  # conflict fork -> generation
    kept: list[str] = field(default_factory=list)

    async def live(self, lives: int) -> None:
        for _ in range(lives):
            writer = self.start()
            for _ in range(self.rng.randrange(1, 4)):
                await anyio.sleep(self.rng.random() * SHORT_TTL_S)
                writer.kill(signal.SIGSTOP)
                await anyio.sleep(self.rng.random() * _LONGEST_S)
                writer.kill(signal.SIGCONT)
            await writer.until(bool)
            await anyio.sleep(self.rng.random() * SHORT_TTL_S)
            self.end(writer)
            if self.rng.random() < 0.3:
                shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def start(self) -> Forked:
        argv = ("compete", self.place, str(self.folder / "cache"), str(WEB), str(self.rng.random()))
        return self.forks.start(self.folder / "said", *argv)

    def end(self, writer: Forked) -> None:
        writer.kill()
        assert writer.end() == -9, "the writer failed by itself: its traceback is in the captured output"
        for words in writer.said():
            match words:
                case ["committed", snapshot, number]:
                    self.committed[int(snapshot)] = int(number)
                case ["refused", number, fork]:
                    self.refused[fork] = int(number)
                case ["kept", fork]:
                    self.kept.append(fork)
                case _:
                    pytest.fail(" ".join(words))


@pytest.mark.timeout(limit_s(300, long=1800))
@pytest.mark.parametrize("kind", ["directory", "s3"] if IS_LONG else ["directory"])
async def test_hosts_that_sleep_and_die_lose_nothing_and_write_one_after_the_other(
    forks: ForkServer, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = shared_place(kind, request, tmp_path)
    hosts = []
    for number in range(_HOSTS):
        folder = tmp_path / f"host-{number}"
        folder.mkdir()
        hosts.append(ChaosHost(forks, place, folder, chance(f"{kind} {number}")))
    async with anyio.create_task_group() as tasks:
        for host in hosts:
            tasks.start_soon(host.live, times(1, long=12))
    async with store_at(place) as store:
        reader = Volumes(store, tmp_path / "empty")
        committed = [pair for host in hosts for pair in host.committed.items()]
        assert len(committed) == len({snapshot for snapshot, _ in committed}) > 0
        newest = 0
        for snapshot in reversed(await reader.log(WEB, 10_000)):
            exactly = dict(committed).get(snapshot.number)
            async with reader.check_out_read_only(WEB, snapshot.number) as folder:
                newest, before = generation(folder, exactly=exactly), newest
            assert newest >= before, snapshot
        assert {snapshot for snapshot, _ in committed} <= {s.number for s in await reader.log(WEB, 10_000)}
        for host in hosts:
            for fork, number in host.refused.items():
                async with reader.check_out_read_only(VolumeName.parse(fork)) as folder:
                    generation(folder, exactly=number)
            for fork in host.kept:
                async with reader.check_out_read_only(VolumeName.parse(fork)) as folder:
                    assert list(folder.iterdir())
        for info in await reader.list():
            assert (await reader.check(VolumeName.parse(info.name))).problems == ()
