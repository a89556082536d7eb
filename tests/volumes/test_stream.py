"""While a run works, changes of its working folder become commits."""

import os
import re
from functools import partial
from pathlib import Path

import anyio
import pytest

from hutch.volumes import CountingStore, DirectoryStore, MemoryStore, Stream, StreamStatus, Volumes
from hutch.volumes.log.codec import ENTRY, opened
from hutch.volumes.streaming import stream as streaming
from hutch.volumes.streaming.watch import Heard, Watch
from support.streams import put, until, until_folder_is_stored, until_looked, until_stored, writer
from support.volume_engine import WEB, commit_files, keys_of, program, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


async def test_changes_are_stored_while_the_run_goes_on(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            (folder / "a").write_bytes(b"1")
            await until_stored(volumes, {"/a": b"1"})
            (folder / "d").mkdir()
            (folder / "d/b").write_bytes(b"2")
            (folder / "a").unlink()
            await until_stored(volumes, {"/d": None, "/d/b": b"2"})
            await until(lambda: stream.status.commits >= 2)
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
        async with volumes.stream(lease, "run 2") as stream:
            await until_looked(stream)
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


def has_streamed(stream: Stream, number: int) -> bool:
    return stream.status.snapshot == number


@pytest.fixture
def only_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first look at everything there is no other but for a reason."""
    monkeypatch.setattr(streaming, "_LOOK_S", 1000.0)


@pytest.fixture
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is heard; everything is looked at more often than usual."""

    class Mute(Watch):
        def hear(self, wait_s: float) -> Heard:
            super().hear(wait_s)
            return Heard()

    monkeypatch.setattr(streaming, "Watch", Mute)
    monkeypatch.setattr(streaming, "_LOOK_S", 0.2)
    monkeypatch.setattr(streaming, "_SHARE_OF_PEACE", 0.2)


@pytest.mark.usefixtures("only_hints")
async def test_folders_made_in_a_hurry_are_found_with_all_that_is_in_them(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1"):
        for number in range(100):
            deep = folder / f"a{number}/b/c"
            deep.mkdir(parents=True)
            (deep / "file").write_bytes(b"%d" % number)
        await until_folder_is_stored(volumes, folder)
        for number in range(0, 100, 7):
            (folder / f"a{number}/b/c/file").write_bytes(b"again")
        await until_folder_is_stored(volumes, folder)


@pytest.mark.usefixtures("only_hints")
async def test_a_copied_tree_of_a_thousand_files_is_stored_and_stays_watched(
    volumes: Volumes, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for number in range(1000):
        (source / str(number % 50)).mkdir(parents=True, exist_ok=True)
        (source / str(number % 50) / str(number)).write_bytes(b"%d" % number * 100)
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1"):
        await anyio.run_process(["cp", "-a", str(source), str(folder / "copy")])
        await until_folder_is_stored(volumes, folder)
        (folder / "copy/7/57").write_bytes(b"heard")
        await until_folder_is_stored(volumes, folder)


@pytest.mark.usefixtures("only_hints")
async def test_renamed_folders_cost_no_content_and_stay_watched(tmp_path: Path) -> None:
    store = CountingStore(DirectoryStore(tmp_path / "store"))
    volumes = Volumes(store, tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        (folder / "old/inner").mkdir(parents=True)
        (folder / "old/large").write_bytes(os.urandom(3_000_000))
        (folder / "old/inner/small").write_bytes(os.urandom(100_000))
        await volumes.commit(lease, "run 1")
        async with volumes.stream(lease, "run 2") as stream:
            await until_looked(stream)
            store.sent = 0
            (folder / "old").rename(folder / "new")
            await until(lambda: stream.status.snapshot == 2)
            assert store.sent < 20_000
            (folder / "new/inner/small").write_bytes(b"after")
            await until_folder_is_stored(volumes, folder)
            (folder / "new/inner").rename(folder / "out")
            (folder / "out/small").write_bytes(b"after that")
            await until_folder_is_stored(volumes, folder)


@pytest.mark.usefixtures("no_hints")
async def test_what_nobody_heard_of_is_found(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1", "d/b": b"2", "gone": b"3"})
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1"):
        for round_ in range(2):
            (folder / "d/b").write_bytes(b"%d" % round_)
            (folder / f"new{round_}").mkdir()
            (folder / f"new{round_}/file").write_bytes(b"5")
            (folder / "gone").unlink(missing_ok=True)
            await until_folder_is_stored(volumes, folder)


@pytest.mark.usefixtures("only_hints")
async def test_a_small_change_is_one_request_and_is_named_as_of_a_running_run(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, {f"d{number}/f": b"%d" % number for number in range(300)})
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 2") as stream:
            await until_looked(stream)
            store.requests.clear()
            put(folder, "d7/f", b"new")
            await until(lambda: stream.status.snapshot == 2 and not stream.status.is_behind)
            assert store.requests == {"put": 1}
        assert await volumes.commit(lease, "run 2") is not None
    entries = [await store.get(key) for key in await keys_of(store) if "/log/" in key]
    headers = [opened(ENTRY, data, "an entry").header for data, _ in entries]
    assert [header.get("while_running") for header in headers] == [None, True, None]
    assert [header["changed"] for header in headers[1:]] == [[["M", "d7/f"]]] * 2


async def test_the_last_commit_reads_again_what_was_read_while_a_run_could_write(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a store to mapped memory nothing is heard: it is found by looking, which happens more often here
    monkeypatch.setattr("hutch.volumes.streaming.stream._LOOK_S", 0.2)
    # A second store to a page that is mapped and dirty changes the content and no time of the file.
    mapped = """
import mmap, sys
file = open(argv[0], "r+b")
page = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    page[:4] = line[:4].encode()
    print("stored", flush=True)
"""
    async with run_on(volumes) as (lease, folder):
        (folder / "mapped").write_bytes(b"0000" + bytes(10_000))
        with writer(mapped, folder / "mapped") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            async with volumes.stream(lease, "run 1"):
                for number in range(1000, 1020):
                    before = (folder / "mapped").stat()
                    process.stdin.write(f"{number}\n")
                    process.stdin.flush()
                    assert process.stdout.readline() == "stored\n"
                    after = (folder / "mapped").stat()
                    if (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns):
                        break  # else the kernel had written the page back
                    await until_stored(volumes, {"/mapped": b"%d" % number + bytes(10_000)})
                else:
                    pytest.fail("each store left a trace")
        await volumes.commit(lease, "run 1")
    assert await tree_of(volumes) == {"/mapped": b"%d" % number + bytes(10_000)}


async def test_a_killed_daemon_leaves_what_was_streamed_and_its_folder(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    volumes = Volumes(DirectoryStore(store), cache)
    with program("stream", str(store), str(cache)) as process:
        assert process.stdout is not None
        streamed = [int(process.stdout.readline()) for _ in range(5)]
        process.kill()
    assert streamed == sorted(set(streamed))
    reader = Volumes(DirectoryStore(store), tmp_path / "reader")
    assert (await reader.info(WEB)).snapshot >= streamed[-1]
    assert (await reader.check(WEB)).problems == ()
    (recovered,) = await volumes.recover()
    assert (recovered.conflict, recovered.problem) == (None, None)
    async with run_on(volumes) as (_, folder):
        assert tree_on_disk(folder) == await tree_of(reader)
        count = int((folder / "counter").read_text())
        assert {path.name for path in (folder / "files").iterdir()} >= {str(n) for n in range(count)}


@pytest.mark.usefixtures("only_hints")
async def test_what_was_streamed_in_many_pieces_is_restored_with_few_requests(tmp_path: Path) -> None:
    inner = MemoryStore()
    volumes = Volumes(inner, tmp_path / "cache")
    await commit_files(volumes, {"old": b"stays where it is"})
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 2") as stream:
            for number in range(12):
                put(folder, f"f{number}", b"%d" % number * 1000)
                await until(partial(has_streamed, stream, number + 2))
        await volumes.commit(lease, "run 2")
        assert await volumes.commit(lease, "run 2") is None
    data, _ = await inner.get(next(key for key in await keys_of(inner) if key.endswith(f"/log/{14:020}")))
    last = opened(ENTRY, data, "the last entry")
    (pack,) = last.header["packs"]
    places = re.findall(rb'"at":\[(\d+),', b"".join(last.lines))
    assert places == [b"%d" % pack["number"]] * 12
    assert (await tree_of(volumes)).keys() == {"/old", *(f"/f{number}" for number in range(12))}
    assert (await volumes.check(WEB)).problems == ()
