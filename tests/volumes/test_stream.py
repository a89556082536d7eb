"""While a run works, changes of its working folder become commits."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from hutch.volumes import DirectoryStore, Stream, StreamStatus, Volumes
from support.volume_engine import WEB, Tree, commit_files, run_on, tree_of, tree_on_disk

LONG_S = 20  # for what takes a fraction of a second on an idle machine


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG_S):
        while not holds():
            await anyio.sleep(0.01)


async def until_stored(volumes: Volumes, expected: Tree) -> None:
    found: Tree = {}
    try:
        with anyio.fail_after(LONG_S):
            while (found := await tree_of(volumes)) != expected:
                await anyio.sleep(0.02)
    except TimeoutError:
        assert found == expected


async def test_changes_are_stored_while_the_run_goes_on(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            (folder / "a").write_bytes(b"1")
            await until_stored(volumes, {"/a": b"1"})
            (folder / "d").mkdir()
            (folder / "d/b").write_bytes(b"2")
            (folder / "a").unlink()
            await until_stored(volumes, {"/d": None, "/d/b": b"2"})
            assert stream.status.commits >= 2
            assert stream.status.problem is None
        last = await volumes.commit(lease, "run 1")
        assert last is not None
        assert [str(change) for change in last.changes] == ["A d", "A d/b"]  # of the whole run
    assert (await volumes.check(WEB)).problems == ()
    async with run_on(volumes) as (lease, folder):
        assert tree_on_disk(folder) == {"/d": None, "/d/b": b"2"}
        assert await volumes.commit(lease, "run 2") is None


async def test_a_run_that_changes_nothing_commits_nothing(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1"})
    async with run_on(volumes) as (lease, _):
        async with volumes.stream(lease, "run 2"):
            await anyio.sleep(0.5)  # for as long as it takes to look once
        assert await volumes.commit(lease, "run 2") is None
    assert (await volumes.info(WEB)).snapshot == 1


async def test_status_tells_each_commit(volumes: Volumes) -> None:
    told: list[StreamStatus] = []
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1", on_event=told.append) as stream:
            assert isinstance(stream, Stream)
            (folder / "a").write_bytes(b"1")
            await until(lambda: stream.status.snapshot == 1)
        assert told[-1].snapshot == 1
        assert told[-1].committed_at is not None
