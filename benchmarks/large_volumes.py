"""What does a very large volume cost: a million small files, and one file of 10 GB?

    .venv/bin/python benchmarks/large_volumes.py [--quick] [--json]

Each step is a process of its own, which begins with nothing in memory, as a daemon does that was just
started. Its wall time, the CPU time of all its threads and the most memory that it held are told. Before each
step what is dirty goes to the disk. `--quick` takes a tenth of the files and a tenth of the bytes.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from _measure import Row, options, report
from hutch.volumes import CountingStore, DirectoryStore, FileRead, StreamStatus, VolumeName, Volumes

_NAME = VolumeName.parse("large")
_PER_FOLDER = 100
_FILE = "src/package-00/module-00/source-007.py"


def main() -> None:
    if len(sys.argv) == 4:  # a process of our own
        step, root, many = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
        if step == "make":
            make_files(root / "src", many)
        else:
            anyio.run(one_step, step, root, many)
        return
    given = options(__doc__)
    files, size = (100_000, 1 << 30) if given.quick else (1_000_000, 10 << 30)
    rows: list[Row] = []
    with TemporaryDirectory(prefix="hutch-bench-") as folder:
        for name, many in (("many", files), ("big", size)):
            root = Path(folder, name)
            root.mkdir()
            if name == "many":
                make_files(root / "src", many)
            else:
                make_file(root / "src", many)
            for step in STEPS:
                rows += measured(name, step, root, many)
        report(f"Large volumes: {files} files of 200 bytes; one file of {size >> 20} MiB", rows, {}, given)


def measured(name: str, step: str, root: Path, many: int) -> list[Row]:
    """Run one step in a process of its own."""
    os.sync()
    argv = [sys.executable, __file__, step, str(root), str(many)]
    told = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
    return [Row.of(f"{name}, {step}: {what}", unit, [told[what]]) for what, unit in UNITS.items()]


UNITS = {"wall": "s", "CPU": "s", "memory": "MiB", "sent": "MiB", "received": "MiB"}


async def one_step(step: str, root: Path, many: int) -> None:
    store = CountingStore(DirectoryStore(root / "store"))
    began = time.perf_counter()
    await STEPS[step](store, root, many)
    wall = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall": wall,
        "CPU": used.ru_utime + used.ru_stime,
        "memory": most_memory(),
        "sent": store.sent / (1 << 20),
        "received": store.received / (1 << 20),
    }
    print(json.dumps(figures))


def most_memory() -> float:
    """The most that this program held, in MiB. Not ru_maxrss: that begins with what its starter held."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024


def make_files(folder: Path, count: int) -> None:
    """Small sources, in folders of 100 in folders of 100."""
    for start in range(0, count, _PER_FOLDER):
        number = start // _PER_FOLDER
        place = folder / f"package-{number // _PER_FOLDER:02}/module-{number % _PER_FOLDER:02}"
        place.mkdir(parents=True)
        for at in range(_PER_FOLDER):
            text = f"value_{start + at} = {(start + at) * 7919}\n" * 8
            (place / f"source-{at:03}.py").write_text(text)


def make_file(folder: Path, size: int) -> None:
    """One file that compresses to about half."""
    folder.mkdir()
    with (folder / "big").open("wb") as big:
        for _ in range(size >> 20):
            big.write(os.urandom(1 << 19) + bytes(1 << 19))


async def first_commit(store: CountingStore, root: Path, _: int) -> None:
    volumes = Volumes(store, root / "cache")
    async with volumes.lease(_NAME, "bench", create=True) as lease:
        (root / "src").rename((await volumes.check_out(lease)) / "src")
        assert await volumes.commit(lease, "first")


async def open_unchanged(store: CountingStore, root: Path, _: int) -> None:
    volumes = Volumes(store, root / "cache")
    async with volumes.lease(_NAME, "bench") as lease:
        await volumes.check_out(lease)
        assert await volumes.commit(lease, "nothing") is None


async def commit_of_an_edit(store: CountingStore, root: Path, _: int) -> None:
    volumes = Volumes(store, root / "cache")
    async with volumes.lease(_NAME, "bench") as lease:
        folder = await volumes.check_out(lease)
        path = folder / _FILE
        if path.exists():
            path.write_text("edited\n")
        else:
            with (folder / "src/big").open("r+b") as big:
                big.seek(1 << 29)
                big.write(b"edited")
        snapshot = await volumes.commit(lease, "edit")
        assert snapshot
        assert snapshot.change_count == 1


async def stream_of_an_edit(store: CountingStore, root: Path, _: int) -> None:
    volumes = Volumes(store, root / "cache")
    async with volumes.lease(_NAME, "bench") as lease:
        folder = await volumes.check_out(lease)
        stored = anyio.Event()

        def note(status: StreamStatus) -> None:
            if status.commits:
                stored.set()

        async with volumes.stream(lease, "stream", on_event=note):
            (folder / "src/streamed").write_text("while it runs\n")
            await stored.wait()
        assert await volumes.commit(lease, "stream")


async def restore_elsewhere(store: CountingStore, root: Path, _: int) -> None:
    async with Volumes(store, root / "elsewhere", cache_max_bytes=1 << 60).check_out_read_only(_NAME):
        pass


async def read_one_file(store: CountingStore, root: Path, many: int) -> None:
    volumes = Volumes(store, root / "cache")
    path = _FILE if many < 1 << 30 else "src/big"
    read = await volumes.read(_NAME, path)
    assert isinstance(read, FileRead)


async def tree(store: CountingStore, root: Path, _: int) -> None:
    async for _entry in Volumes(store, root / "cache").tree(_NAME):
        pass


Step = Callable[[CountingStore, Path, int], Awaitable[None]]
STEPS: dict[str, Step] = {
    "first commit": first_commit,
    "open unchanged": open_unchanged,
    "commit of an edit": commit_of_an_edit,
    "run that streams an edit": stream_of_an_edit,
    "restore elsewhere": restore_elsewhere,
    "read one file": read_one_file,
    "tree": tree,
}

if __name__ == "__main__":
    main()
