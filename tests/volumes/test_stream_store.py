"""A stream with a store that is away, a lease that is lost, a writer that is faster than the store."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    DirectoryStore,
    MemoryStore,
    ObjectInfo,
    ObjectStore,
    StoreError,
    StreamStatus,
    VolumeName,
    Volumes,
)
from hutch.volumes.stores.protocol import Condition
from hutch.volumes.streaming import stream as streaming
from support.streams import until, until_folder_is_stored, writer
from support.volume_engine import WEB, HandClock, run_on, tree_of, tree_on_disk


class Outage:
    """A store that can be taken away and brought back; `delay_s` is what each write takes."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.is_away = False
        self.loses_answers = False
        self.delay_s = 0.0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        self._answer()
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        self._answer()
        await anyio.sleep(self.delay_s)
        tag = await self._inner.put(key, data, if_match=if_match)
        if self.loses_answers:
            self.is_away = True
        self._answer()
        return tag

    async def delete(self, key: str) -> None:
        self._answer()
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        self._answer()
        async for info in self._inner.list(prefix):
            yield info

    def _answer(self) -> None:
        if self.is_away:
            raise StoreError("the store is away")


@pytest.mark.parametrize("loses_answers", [False, True], ids=["away", "answers lost"])
async def test_a_store_that_was_away_gets_everything_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loses_answers: bool
) -> None:
    monkeypatch.setattr(streaming, "_BACKOFF_S", (0.05, 0.2))
    store = Outage(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    told: list[StreamStatus] = []
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1", on_event=told.append) as stream:
            (folder / "before").write_bytes(b"1")
            await until(lambda: stream.status.snapshot == 1)
            store.loses_answers, store.is_away = loses_answers, not loses_answers
            (folder / "meanwhile").write_bytes(b"2")
            await until(lambda: stream.status.problem is not None)
            assert "the store is away" in (stream.status.problem or "")
            assert stream.status.is_behind
            (folder / "later").write_bytes(os.urandom(200_000))
            await anyio.sleep(0.3)  # it is tried in vain
            store.loses_answers = store.is_away = False
            await until_folder_is_stored(volumes, folder)
            await until(lambda: stream.status.problem is None and not stream.status.is_behind)
        assert await volumes.commit(lease, "run 1") is not None
    assert [bool(status.problem) for status in told].count(True) >= 1
    assert (await volumes.info(WEB)).held_by is None
    assert (await volumes.check(WEB)).problems == ()


async def test_a_stream_whose_lease_was_taken_over_ends_and_its_work_is_kept(tmp_path: Path) -> None:
    store, clock = MemoryStore(), HandClock()
    volumes = Volumes(store, tmp_path / "cache", clock=clock)
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            (folder / "mine").write_bytes(b"1")
            await until(lambda: stream.status.snapshot == 1)
            late = HandClock()
            other = Volumes(store, tmp_path / "elsewhere", clock=late)
            with pytest.raises(HutchError):
                async with run_on(other, "other"):
                    pass
            late.move(1000)  # and nothing was heard of its holder
            async with run_on(other, "other") as (its, theirs):
                (theirs / "theirs").write_bytes(b"2")
                await other.commit(its, "other")
            (folder / "mine").write_bytes(b"too late")
            await until(lambda: stream.status.has_ended)
            assert lease.lost.is_set()
        with pytest.raises(HutchError) as caught:
            await volumes.commit(lease, "run 1")
        assert caught.value.code == "lease_lost"
    assert await tree_of(other) == {"/mine": b"1", "/theirs": b"2"}
    conflict = next(info.name for info in await other.list() if "@" in info.name)
    assert await tree_of(other, name=VolumeName.parse(conflict)) == {"/mine": b"too late"}


def resident_bytes(key: str) -> int:
    """Of this process: VmRSS now, VmHWM at most since it was reset (proc(5), clear_refs)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))


async def test_a_writer_that_is_faster_than_the_store_fills_no_memory(tmp_path: Path) -> None:
    # Each block of 256 KiB is another one, and compresses to half.
    fast = """
import os
noise = os.urandom(128 << 10)
for number in range(8):
    with open(f"{argv[0]}/{number}", "wb") as file:
        for block in range(200):
            file.write((b"%08d" % (number * 1000 + block)) * (16 << 10) + noise)
print("written", flush=True)
"""
    store = Outage(DirectoryStore(tmp_path / "store"))
    store.delay_s = 0.05
    volumes = Volumes(store, tmp_path / "cache")
    behind: list[StreamStatus] = []
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1", on_event=behind.append) as stream:
            Path("/proc/self/clear_refs").write_text("5")
            before = resident_bytes("VmRSS")
            with writer(fast, folder) as process:
                assert process.stdout is not None
                assert await anyio.to_thread.run_sync(process.stdout.readline) == "written\n"
                (folder / "small").write_bytes(b"comes through")
                await until(lambda: stream.status.commits >= 3 and not stream.status.is_behind)
            assert resident_bytes("VmHWM") - before < 300 << 20
        last = await volumes.commit(lease, "run 1")
        assert last is not None
        assert last.bytes == 8 * 200 * (256 << 10) + len(b"comes through")
    assert max(status.bytes_behind for status in behind) > 0


class Stopping:
    """Holds one process still by SIGSTOP, as a method's freezer would."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.times = 0

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[bool]:
        os.kill(self._pid, signal.SIGSTOP)
        while " T " not in Path(f"/proc/{self._pid}/stat").read_text():
            await anyio.sleep(0.001)
        self.times += 1
        try:
            yield True
        finally:
            os.kill(self._pid, signal.SIGCONT)


async def test_what_never_keeps_still_is_read_while_its_sandbox_is_frozen(tmp_path: Path) -> None:
    restless = """
import os, itertools
file = os.open(argv[0], os.O_RDWR | os.O_CREAT)
os.write(file, bytes(16))
print("ready", flush=True)
for n in itertools.count():
    os.pwrite(file, b"%016d" % n * 1000, 0)
"""
    volumes = Volumes(MemoryStore(), tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        with writer(restless, folder / "restless") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            freezer = Stopping(process.pid)
            async with volumes.stream(lease, "run 1", freezer=freezer) as stream:
                await until(lambda: freezer.times > 0 and (stream.status.snapshot or 0) > 0)
        await volumes.commit(lease, "run 1")
    for snapshot in await volumes.log(WEB, 100):
        data = (await tree_of(volumes, at=snapshot.number)).get("/restless", b"")
        assert isinstance(data, bytes)
        assert len({data[at : at + 16] for at in range(0, len(data), 16)}) <= 2
    assert await tree_of(volumes) == tree_on_disk(folder)
