"""Programs that tests of the storage engine start as processes of their own, and kill.

python -m support.volume_programs commit STORE CACHE        commits for ever; says each acknowledged snapshot
python -m support.volume_programs stream STORE CACHE        writes for ever; says each streamed snapshot
python -m support.volume_programs race STORE CACHE ROUNDS   holds the lease again and again, alone
python -m support.volume_programs sleep STORE CACHE         holds the lease, says `held`, commits at a line
python -m support.volume_programs evict STORE CACHE         reads aa, bb, cc in a cache without room, for ever
"""

import itertools
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import anyio

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, LeaseHeldError, VolumeName, Volumes
from support.volume_engine import WEB, run_on


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def commit(volumes: Volumes, _: Path) -> None:
    """Writes one number into several files, so that a torn snapshot of `run NUMBER` shows."""
    for each in await volumes.recover():
        assert each.problem is None, each
    async with run_on(volumes, "run") as (lease, folder):
        counter = folder / "counter"
        number = int(counter.read_text()) if counter.exists() else 0
        while True:
            number += 1
            (folder / "counter.new").write_text(str(number))
            (folder / "counter.new").rename(counter)
            (folder / "large").write_bytes(b"%08d" % number * 40_000)
            made = folder / f"folder-{number % 3}"
            made.mkdir(exist_ok=True)
            (made / "file").write_text(str(number))
            snapshot = await volumes.commit(lease, f"run {number}")
            say(snapshot.number if snapshot else None)


async def stream(volumes: Volumes, _: Path) -> None:
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


async def race(volumes: Volumes, store: Path) -> None:
    """While the lease is held nobody else may hold it: a file made with O_EXCL is the judge."""
    flag = store.parent / "held"
    for _ in range(int(sys.argv[4])):
        while True:
            try:
                async with volumes.lease(WEB, f"pid {os.getpid()}", create=True) as lease:
                    os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
                    say(lease.token)
                    flag.unlink()
                break
            except LeaseHeldError:
                continue


async def sleep(volumes: Volumes, _: Path) -> None:
    async with run_on(volumes, "sleeper") as (lease, folder):
        (folder / "work").write_text("of the sleeper")
        say("held")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        try:
            await volumes.commit(lease, "sleeper")
            say("committed")
        except HutchError as error:
            say(error.code, error.hint)


async def evict(_: Volumes, store: Path) -> None:
    """Looks whether each folder that it is given holds its 100 files."""
    volumes = Volumes(DirectoryStore(store), Path(sys.argv[3]), cache_max_bytes=0)

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


if __name__ == "__main__":
    place = Path(sys.argv[2])
    made = Volumes(
        DirectoryStore(place), Path(sys.argv[3]), lease_ttl_s=2.0 if sys.argv[1] == "sleep" else 60.0
    )
    anyio.run(
        {"commit": commit, "stream": stream, "race": race, "sleep": sleep, "evict": evict}[sys.argv[1]],
        made,
        place,
    )
