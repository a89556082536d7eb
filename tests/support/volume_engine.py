"""What tests of the storage engine share: a clock that is moved by hand, trees as plain data, a host."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import At, FileRead, Lease, LinkTarget, MemoryStore, ObjectStore, VolumeName, Volumes

WEB = VolumeName.parse("web")
Tree = dict[str, str | bytes | None]  # path -> link target, content, or None for a folder


class HandClock:
    """Both clocks stand still until they are moved."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        self.ticks = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def move(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.ticks += seconds


class Host:
    """A machine with a cache of its own, whose daemon can die: then a new one is started on what is left."""

    def __init__(self, store: ObjectStore, cache: Path, clock: HandClock | None = None) -> None:
        self.store = store
        self.cache = cache
        self.clock = clock
        self.volumes = Volumes(store, cache, clock=clock)

    def restart(self) -> None:
        self.volumes = Volumes(self.store, self.cache, clock=self.clock)


class OtherMachine:
    """The same store as seen from a host of another boot, whose processes nobody can look for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __enter__(self) -> None:
        self._monkeypatch.setattr("hutch.volumes.lease.holders.boot_id", lambda: "another boot")

    def __exit__(self, *_: object) -> None:
        self._monkeypatch.undo()


@asynccontextmanager
async def run_on(
    volumes: Volumes, holder: str = "run 1", name: VolumeName = WEB
) -> AsyncGenerator[tuple[Lease, Path]]:
    """Lease, created if need be, and working folder."""
    async with volumes.lease(name, holder, create=True) as lease:
        yield lease, await volumes.check_out(lease)


async def commit_files(volumes: Volumes, files: dict[str, bytes], name: VolumeName = WEB) -> None:
    """One run that writes some files."""
    async with run_on(volumes, name=name) as (lease, folder):
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        await volumes.commit(lease, "run 1")


async def error_of(call: Callable[[], Awaitable[object]]) -> HutchError:
    """What it is refused with."""
    with pytest.raises(HutchError) as caught:
        await call()
    return caught.value


async def tree_of(volumes: Volumes, at: At = None, name: VolumeName = WEB) -> Tree:
    """A snapshot, read from the store."""
    found: Tree = {}
    async for entry in volumes.tree(name, at):
        read = await volumes.read(name, entry.raw, at=at, limit=1 << 30)
        if isinstance(read, FileRead):
            found[entry.path] = read.data
        else:
            found[entry.path] = read.target if isinstance(read, LinkTarget) else None
    return found


def tree_on_disk(folder: Path) -> Tree:
    """A folder's content, in the same form."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = f"/{path.relative_to(folder)}"
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def listing(folder: Path) -> list[bytes]:
    """Every property that a volume keeps, as GNU find sees it."""
    form = r"%y %m %T@ %s %n %l\t%P\0"
    done = subprocess.run(["find", ".", "-printf", form], cwd=folder, capture_output=True, check=True)
    lines = []
    for line in done.stdout.split(b"\0")[:-1]:
        kind, mode, time, size, links, rest = line.split(b" ", 5)
        is_folder = kind == b"d"  # whose size and number of links are the file system's business
        lines.append(
            b" ".join([kind, mode, time, b"" if is_folder else size, b"" if is_folder else links, rest])
        )
    return sorted(lines)


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """All keys of a store."""
    return [info.key async for info in store.list(prefix)]


async def copy_of(store: ObjectStore, now: Callable[[], datetime] | None = None) -> MemoryStore:
    """Another store with the same objects, as old as they are."""
    other = MemoryStore(now) if now else MemoryStore()
    async for info in store.list(""):
        data, _ = await store.get(info.key)
        await other.put(info.key, data)
        other._modified_at[info.key] = info.modified_at
    return other


@contextmanager
def program(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """A program of support.volume_programs, ended with the block whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.volume_programs", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
