"""One writer at a time, whatever its process, its machine or its clock does."""

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from hutch.volumes import LeaseHeldError, MemoryStore, VolumeName, Volumes
from support.bounds import chance, limit_s, times
from support.fork_server import ForkServer, fork_server
from support.generations import generation
from support.store_places import SHARED, shared_place, store_at
from support.volume_engine import (
    WEB,
    HandClock,
    OtherMachine,
    commit_files,
    run_on,
    tree_on_disk,
)
from support.volume_model import Cable

_LONG_S = 60
_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(limit_s(300, long=900))
async def test_who_is_stopped_for_longer_than_its_lease_cannot_commit(
    forks: ForkServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    places = [shared_place(kind, request, tmp_path) for kind in ("directory", "s3")]
    for turn in range(times(1, long=20)):
        async with anyio.create_task_group() as tasks:
            for number, place in enumerate(places * 4, 10 * turn):
                tasks.start_soon(stop_and_take_over, forks, place, tmp_path, number)


async def stop_and_take_over(forks: ForkServer, place: str, tmp_path: Path, number: int) -> None:
    """Stop a writer anywhere, also in the middle of a request; it goes on when another has its volume."""
    name, rng = VolumeName.parse(f"sleeper-{number}"), chance(f"sleeper {number}")
    argv = (place, str(tmp_path / f"cache-{number}"), name.name, str(number))
    sleeper = forks.start(tmp_path / f"said-{number}", "fall_asleep", *argv)
    await sleeper.until(lambda said: any(word == "committed" for word, *_ in said))
    await anyio.sleep(rng.random())  # the instant is what is tested
    sleeper.kill(signal.SIGSTOP)
    told = [int(words[2]) for words in sleeper.said() if words[0] in ("committed", "streamed")]
    async with store_at(place) as store:
        contender = Volumes(store, tmp_path / f"contender-{number}")
        async with contender.lease(name, "contender", wait_s=_LONG_S) as lease:
            folder = await contender.check_out(lease)
            assert generation(folder) >= told[-1]
            (folder / "theirs").write_bytes(b"1")
            first = await contender.commit(lease, "contender")
            sleeper.kill(signal.SIGCONT)
            await sleeper.until(lambda said: said[-1][0] == "refused")
            (folder / "theirs").write_bytes(b"2")
            assert await contender.commit(lease, "contender") is not None
        assert sleeper.end() == 0
        assert first is not None
        since = [snapshot for snapshot in await contender.log(name, 1000) if snapshot.number >= first.number]
        assert [snapshot.run_id for snapshot in since] == ["contender", "contender"]
        _, written, fork = sleeper.said()[-1]
        async with contender.check_out_read_only(VolumeName.parse(fork)) as kept:
            assert generation(kept, exactly=int(written)) == int(written)
            assert not (kept / "theirs").exists()
        for each in (name, VolumeName.parse(fork)):
            assert (await contender.check(each)).problems == ()


@pytest.mark.slow
@pytest.mark.timeout(limit_s(300, long=900))
@pytest.mark.parametrize("kind", SHARED)
def test_of_two_processes_exactly_one_holds_the_lease(
    forks: ForkServer, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place, rounds = shared_place(kind, request, tmp_path), times(80, long=2000)
    argv = ("race", place, str(tmp_path / "cache"), str(tmp_path / "held"), str(rounds))
    racers = [forks.start(tmp_path / name, *argv) for name in ("one", "two")]
    assert [racer.end() for racer in racers] == [0, 0]
    tokens = [int(word) for racer in racers for (word,) in racer.said()]
    assert sorted(tokens) == list(range(1, 2 * rounds + 1))


@pytest.mark.parametrize("theirs", [-_DAY, timedelta(0), _DAY], ids=["behind", "right", "ahead"])
@pytest.mark.parametrize("ours", [-_DAY, timedelta(0), _DAY], ids=["behind", "right", "ahead"])
async def test_a_clock_that_is_a_day_wrong_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: timedelta, theirs: timedelta
) -> None:
    """Simulated: what each machine's wall clock shows, and that neither can look for the other's processes.

    A living holder keeps its volume, whoever's clock is wrong; a dead one's is free after a lease's time.
    """
    store, their_clock = MemoryStore(), clock_off_by(theirs)
    cable = Cable(store)
    us = Volumes(cable, tmp_path / "ours", clock=clock_off_by(ours))
    them = Volumes(store, tmp_path / "theirs", clock=their_clock)
    await commit_files(us, {"a": b"1"})
    with OtherMachine(monkeypatch):
        holding = run_on(us, "holder")
        lease, folder = await holding.__aenter__()
    (folder / "a").write_bytes(b"2")
    assert await is_held(them)
    assert await us.commit(lease, "holder") is not None
    cable.is_cut = True  # the holder dies without a word
    await holding.__aexit__(None, None, None)
    assert await is_held(them)
    their_clock.ticks += 66  # a lease and the margin, on the heir's own clock; its wall clock stands still
    async with run_on(them, "heir") as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"2"}
    assert (await them.check(WEB)).problems == ()


def clock_off_by(offset: timedelta) -> HandClock:
    clock = HandClock()
    clock.wall += offset
    return clock


async def is_held(volumes: Volumes) -> bool:
    try:
        async with volumes.lease(WEB, "contender"):
            return False
    except LeaseHeldError:
        return True


@pytest.mark.parametrize("jump", [-_DAY, _DAY], ids=["back", "forward"])
async def test_a_clock_that_is_set_while_a_volume_is_held_costs_nothing(
    tmp_path: Path, jump: timedelta
) -> None:
    """Simulated: the wall clock of one machine is set; its monotonic clock goes on."""
    store, clock = MemoryStore(), HandClock()
    volumes = Volumes(store, tmp_path / "cache", clock=clock)
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        first = await volumes.commit(lease, "run 1")
        clock.wall += jump
        (folder / "a").write_bytes(b"2")
        second = await volumes.commit(lease, "run 1")
        assert first is not None
        assert second is not None
        assert second.created_at - first.created_at == jump
    assert [each.number for each in await volumes.log(WEB)] == [2, 1]
    async with run_on(volumes) as (lease, folder):
        assert lease.token == 2
        assert (folder / "a").read_bytes() == b"2"
