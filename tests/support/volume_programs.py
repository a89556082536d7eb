"""Programs that tests of the storage engine start as processes of their own, and kill.

python -m support.volume_programs PROGRAM STORE CACHE …
    generations NAME SEED   writes generations for ever and says what is safe
    fall_asleep NAME SEED   the same, with a lease that lasts 2 s
    compete NAME SEED       the same, one lease after the other
    stream                  writes for ever; says each streamed snapshot
    race FLAG ROUNDS        holds the lease again and again, alone
    sleep                   holds the lease, says `held`, commits at a line
    evict                   reads aa, bb, cc in a cache without room, for ever

STORE is what `support.store_places` tells.
"""

import itertools
import os
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio

from hutch.errors import HutchError
from hutch.volumes import LeaseHeldError, LeaseLostError, Stream, VolumeName, Volumes
from support.generations import generation, mend, write_generation
from support.store_places import store_at
from support.volume_engine import WEB, run_on

SHORT_TTL_S = 2.0  # of the leases of those who are put to sleep
_SHORT = ("sleep", "fall_asleep", "compete")


def say(*words: object) -> None:
    """One line, in one piece whenever the process is killed."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def generations(volumes: Volumes, name: str, seed: str) -> None:
    """Says `found N`, `wrote N`, and of the store `streamed SNAPSHOT N`, `committed SNAPSHOT N`.

    What a stream's commit holds is read back before it is said; what a run's last one holds is known.
    It ends with `refused N FORK` when its lease was taken over.
    """
    chance, volume = random.Random(seed), VolumeName.parse(name)
    for each in await volumes.recover():
        assert (each.problem, each.conflict) == (None, None)
    async with run_on(volumes, f"writer {os.getpid()}", volume) as (lease, folder):
        number = mend(folder)
        say("found", number)
        while True:
            async with volumes.stream(lease, f"generation {number}") as streamed:
                for _ in range(chance.choice((0, 1, 3, 9))):
                    for _ in range(chance.randrange(6)):
                        number += 1
                        write_generation(folder, number)
                        say("wrote", number)
                        await anyio.sleep(chance.random() * 0.01)
                    await next_commit(streamed, chance.random() * 0.6)
                    if snapshot := streamed.status.snapshot:
                        async with volumes.check_out_read_only(volume, snapshot) as copy:
                            say("streamed", snapshot, generation(copy))
            try:
                made = await volumes.commit(lease, f"generation {number}")
            except LeaseLostError as error:
                say("refused", number, error.hint.split("'")[1])
                return
            if made:
                say("committed", made.number, number)


async def fall_asleep(volumes: Volumes, name: str, seed: str) -> None:
    """The same; its lease is short."""
    await generations(volumes, name, seed)


async def compete(volumes: Volumes, name: str, seed: str) -> None:
    """Waits for the lease, writes a few generations, gives it back, for ever. Says `kept FORK` besides."""
    chance, volume = random.Random(seed), VolumeName.parse(name)
    for each in await volumes.recover():
        assert each.problem is None, each
        if each.conflict:
            say("kept", each.conflict)
    while True:
        async with volumes.lease(volume, f"pid {os.getpid()}", create=True, wait_s=600) as lease:
            folder = await volumes.check_out(lease)
            number = mend(folder)
            for _ in range(chance.randrange(1, 6)):
                async with volumes.stream(lease, f"generation {number}"):
                    for _ in range(chance.randrange(1, 20)):
                        number += 1
                        write_generation(folder, number)
                        await anyio.sleep(chance.random() * 0.05)
                try:
                    made = await volumes.commit(lease, f"generation {number}")
                except LeaseLostError as error:
                    say("refused", number, error.hint.split("'")[1])
                    break
                assert made is not None
                say("committed", made.number, number)


async def next_commit(streamed: Stream, within_s: float) -> None:
    last = streamed.status.snapshot
    with anyio.move_on_after(within_s):
        while streamed.status.snapshot == last:
            await anyio.sleep(0.005)


async def stream(volumes: Volumes) -> None:
    """Writes a new file, then its number plus one into another."""
    async with run_on(volumes, "run") as (lease, folder):
        (folder / "files").mkdir()
        told = 0
        async with volumes.stream(lease, "run") as streamed:
            for number in itertools.count():
                (folder / f"files/{number}").write_text(str(number) * 100)
                (folder / "counter.new").write_text(str(number + 1))
                (folder / "counter.new").rename(folder / "counter")
                await anyio.sleep(0.005)
                if (streamed.status.snapshot or 0) > told:
                    told = streamed.status.snapshot or 0
                    say(told)


async def race(volumes: Volumes, flag: str, rounds: str) -> None:
    """While the lease is held nobody else may hold it: a file made with O_EXCL is the judge."""
    for _each in range(int(rounds)):
        while True:
            try:
                async with volumes.lease(WEB, f"pid {os.getpid()}", create=True) as lease:
                    os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
                    say(lease.token)
                    Path(flag).unlink()
                break
            except LeaseHeldError:
                continue


async def sleep(volumes: Volumes) -> None:
    async with run_on(volumes, "sleeper") as (lease, folder):
        (folder / "work").write_text("of the sleeper")
        say("held")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        try:
            await volumes.commit(lease, "sleeper")
            say("committed")
        except HutchError as error:
            say(error.code, error.hint)


async def evict(volumes: Volumes) -> None:
    """Looks whether each folder that it is given holds its 100 files."""

    async def look() -> None:
        while True:
            for name in map(VolumeName.parse, random.sample(["aa", "bb", "cc"], 3)):
                async with volumes.check_out_read_only(name) as reading:
                    say_whole(reading)
                with suppress(LeaseHeldError):
                    async with volumes.lease(name, "evict") as lease:
                        say_whole(await volumes.check_out(lease))
                        await volumes.commit(lease, "evict")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(volumes.tend_cache)
        tasks.start_soon(look)


def say_whole(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    say("whole" if len(files) == 100 else f"half: {len(files)} files in {folder}")


PROGRAMS: dict[str, Callable[..., Awaitable[None]]] = {
    each.__name__: each for each in (generations, fall_asleep, compete, stream, race, sleep, evict)
}


def main(argv: list[str]) -> None:
    name, place, cache, *rest = argv

    async def run() -> None:
        async with store_at(place) as store:
            volumes = Volumes(
                store,
                Path(cache),
                lease_ttl_s=SHORT_TTL_S if name in _SHORT else 60.0,
                cache_max_bytes=0 if name == "evict" else 10**10,
            )
            await PROGRAMS[name](volumes, *rest)

    anyio.run(run)


if __name__ == "__main__":
    main(sys.argv[1:])
