"""A real sandbox that never lets its files keep still, while its volume is streamed. Says what came of it.

It writes one file from its beginning to its end again and again, in place, and moves amounts between two
rows of a database. So each snapshot must be a state of one instant: of the file at most one place where an
older round begins, of the database a sum of nothing.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path, PurePosixPath

import anyio

from hutch.volumes import DirectoryStore, Volumes
from hutch_launchers.launcher import SandboxProcess
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.spec import Command, Limits, Mount, SandboxSpec
from support.volume_engine import WEB, run_on, tree_of

_BLOCKS, _BLOCK = 200, 4096
_DATA = PurePosixPath("/data")
_LONG_S = 60
_RESTLESS = f"""
import itertools, os, sqlite3
database = sqlite3.connect("/data/bank.db", isolation_level=None)
database.execute("pragma journal_mode = wal")
database.execute("create table accounts (name primary key, amount)")
database.execute("insert into accounts values ('a', 0), ('b', 0)")
file = os.open("/data/torn", os.O_RDWR | os.O_CREAT)
for n in itertools.count():
    for block in range({_BLOCKS}):
        os.pwrite(file, b"%08d" % n * {_BLOCK // 8}, block * {_BLOCK})
    database.execute("begin immediate")
    database.execute("update accounts set amount = amount + 1 where name = 'a'")
    database.execute("update accounts set amount = amount - 1 where name = 'b'")
    database.execute("commit")
    if n == 5:
        print("ready", flush=True)
"""


class Counting:
    """A sandbox's own freezer, counted by whether it held still."""

    def __init__(self, process: SandboxProcess) -> None:
        self._process = process
        self.times = {True: 0, False: 0}

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[bool]:
        async with self._process.frozen() as is_frozen:
            self.times[is_frozen] += 1
            yield is_frozen


def torn(content: bytes) -> bool:
    """Whether it is of more than one instant."""
    rounds = [int(content[at : at + 8]) for at in range(0, len(content), 8)]
    return rounds != sorted(rounds, reverse=True) or max(rounds) - min(rounds) > 1


def sum_of(tree: dict[str, bytes]) -> int:
    """What the database in a snapshot comes to, as its next user would see it. Raises sqlite3.Error."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bank.db", "bank.db-wal"):
            if f"/{name}" in tree:
                Path(folder, name).write_bytes(tree[f"/{name}"])
        with closing(sqlite3.connect(Path(folder, "bank.db"))) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            return int(database.execute("select sum(amount) from accounts").fetchone()[0])


async def work(folder: Path) -> dict[str, object]:
    volumes = Volumes(DirectoryStore(folder / "store"), folder / "cache")
    unsteady: set[str] = set()
    async with run_on(volumes, "run 1") as (lease, tree):
        mounts = (Mount(tree, _DATA, writable=True),)
        command = Command(("/usr/bin/python3", "-c", _RESTLESS), _DATA, {"PATH": "/usr/bin:/bin"})
        spec = SandboxSpec("r-frozen", command, mounts, Limits(wall_s=120), None, frozenset())
        async with BubblewrapLauncher().launch(spec) as process:
            assert await process.stdout.receive() == b"ready\n"
            freezer = Counting(process)
            async with volumes.stream(
                lease, "run 1", freezer=freezer, on_event=lambda status: unsteady.update(status.unsteady)
            ) as stream:
                with anyio.move_on_after(_LONG_S):
                    while stream.status.commits < 4 or sum(freezer.times.values()) < 4:
                        await anyio.sleep(0.05)
        await volumes.commit(lease, "run 1")
        last = (tree / "torn").read_bytes()
    contents, sums = [], set()
    for snapshot in await volumes.log(WEB, 100):
        found = {
            path: data
            for path, data in (await tree_of(volumes, snapshot.number)).items()
            if isinstance(data, bytes)
        }
        contents += [found["/torn"]] if found.get("/torn") else []
        sums |= {sum_of(found)} if "/bank.db" in found else set()
    return {
        "frozen": freezer.times[True],
        "refused": freezer.times[False],
        "snapshots": len(contents),
        "torn": sum(map(torn, contents)),
        "sums": sorted(sums),
        "unsteady": sorted(unsteady),
        "last": contents[0] == last,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(anyio.run(work, Path(sys.argv[1]))))
