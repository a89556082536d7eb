"""What tests of streaming share: waiting until something is stored, processes that write like a sandbox."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from hutch.volumes import FileRead, Stream, Volumes
from support.volume_engine import WEB, Tree, tree_of, tree_on_disk

LONG_S = 60  # for what takes a fraction of a second on an idle machine


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG_S):
        while not holds():
            await anyio.sleep(0.01)


async def until_looked(stream: Stream) -> None:
    """Wait until everything was looked at once: from now on it hears of what is written."""
    await until(lambda: not stream.status.is_behind)


def put(folder: Path, name: str, data: bytes) -> None:
    """Write a file at once, so that one commit has all of it, however busy the machine is."""
    beside = folder.with_name("put")
    beside.write_bytes(data)
    beside.rename(folder / name)


async def newest_tree(volumes: Volumes) -> Tree:
    """One snapshot, though another may come while it is read."""
    number = (await volumes.info(WEB)).snapshot
    return await tree_of(volumes, number) if number else {}


async def until_stored(volumes: Volumes, expected: Tree) -> None:
    """Wait until the newest snapshot is this tree."""
    found: Tree = {}
    try:
        with anyio.fail_after(LONG_S):
            while (found := await newest_tree(volumes)) != expected:
                await anyio.sleep(0.1)
    except TimeoutError:
        assert found == expected


async def until_folder_is_stored(volumes: Volumes, folder: Path) -> None:
    """Wait until the newest snapshot is what a folder holds, which nobody changes any more."""
    await until_stored(volumes, tree_on_disk(folder))


async def until_all_is_stored(volumes: Volumes, folder: Path) -> None:
    """The same of names that may be any bytes."""
    expected = {b"/" + os.fsencode(path.relative_to(folder)): _content(path) for path in folder.rglob("*")}
    found: dict[bytes, bytes | None] = {}
    try:
        with anyio.fail_after(LONG_S):
            while found != expected:
                await anyio.sleep(0.1)
                if not (at := (await volumes.info(WEB)).snapshot):
                    continue
                reads = [
                    (entry.raw, await volumes.read(WEB, entry.raw, at=at, limit=1 << 30))
                    async for entry in volumes.tree(WEB, at)
                ]
                found = {raw: read.data if isinstance(read, FileRead) else None for raw, read in reads}
    except TimeoutError:
        assert found == expected


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


@contextmanager
def writer(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process, as a sandbox would have it; ended with the block. It gets `arguments` as `argv`."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from sys import argv\nargv.pop(0)\n{program}", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
