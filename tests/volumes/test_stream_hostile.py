"""A sandbox that tries to blind a stream, to lead it out of its folder, or to keep it busy."""

import os
import sqlite3
from pathlib import Path

import anyio
import pytest

from hutch.volumes import DirectoryStore, Volumes
from hutch.volumes.streaming import stream as streaming
from hutch.volumes.streaming import watch
from support.streams import (
    until,
    until_all_is_stored,
    until_folder_is_stored,
    until_looked,
    until_stored,
    writer,
)
from support.volume_engine import WEB, commit_files, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def only_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first look at everything there is no other but for a reason."""
    monkeypatch.setattr(streaming, "_LOOK_S", 1000.0)


def watched_folders() -> int:
    """By all inotify instances of this process."""
    count = 0
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            count += info.read_text().count("inotify wd")
        except OSError:
            continue
    return count


@pytest.mark.usefixtures("only_hints")
async def test_a_link_never_makes_it_watch_the_host(volumes: Volumes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for number in range(50):
        (outside / str(number)).mkdir(parents=True)
    await commit_files(volumes, {"d/f": b"1"})
    async with run_on(volumes) as (lease, folder):
        (folder / "host").symlink_to(outside)
        (folder / "d/host").symlink_to("/")
        await volumes.commit(lease, "run 1")
        before = watched_folders()
        async with volumes.stream(lease, "run 2"):
            await until(lambda: watched_folders() == before + 2)  # the root and d
            (folder / "d").rename(folder / "e")  # a watcher that works by paths goes through e/host now
            (folder / "new").mkdir()
            (folder / "new/host").symlink_to(outside)
            (folder / "new").rename(folder / "newer")
            await until_folder_is_stored(volumes, folder)
            (folder / "newer/f").write_bytes(b"2")
            await until_folder_is_stored(volumes, folder)
            assert watched_folders() <= before + 5
    assert (await tree_of(volumes))["/e/host"] == "/"


@pytest.mark.usefixtures("only_hints")
async def test_a_name_that_is_no_utf_8_blinds_nobody(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1") as stream:
        (folder / "d").mkdir()
        await until_looked(stream)  # from now on all is heard or not at all
        for number in range(3):
            (folder / os.fsdecode(b"\xff%d" % number)).write_bytes(b"%d" % number)
            (folder / os.fsdecode(b"d/\xfe%d" % number)).mkdir()
            (folder / os.fsdecode(b"d/\xfe%d/f" % number)).write_bytes(b"%d" % number)
            await until(lambda: stream.status.commits > 0)
        files = {f"/\udcff{number}" for number in range(3)}
        await until_all_is_stored(volumes, folder)
        (folder / "plain").write_bytes(b"heard or looked for")
        await until_all_is_stored(volumes, folder)
        assert files <= {f"/{path.name}" for path in folder.iterdir()}


async def test_a_root_that_was_replaced_is_followed(volumes: Volumes) -> None:
    await commit_files(volumes, {"a": b"1", "d/b": b"2"})
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1") as stream:
        await until_looked(stream)
        folder.rename(folder.with_name("away"))
        folder.mkdir()
        (folder / "new").write_bytes(b"3")
        (folder / "d").mkdir()
        await until_stored(volumes, {"/new": b"3", "/d": None})
        (folder / "d/c").write_bytes(b"4")
        await until_stored(volumes, {"/new": b"3", "/d": None, "/d/c": b"4"})


@pytest.mark.usefixtures("only_hints")
async def test_writers_in_a_loop_are_not_listened_to_and_are_stored_all_the_same(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_WINDOW_S", 0.2)
    loop = "import time\nfile = open(argv[0], 'ab', buffering=0)\nwhile True: file.write(b'x')"
    async with run_on(volumes) as (lease, folder):
        (folder / "calm").mkdir()
        (folder / "hot").mkdir()
        async with volumes.stream(lease, "run 1") as stream:
            with writer(loop, folder / "hot/log"):
                await until(lambda: stream.status.scan_only is not None)
                seen = stream.status.commits
                (folder / "calm/file").write_bytes(b"heard")
                await until(lambda: stream.status.commits >= seen + 3)
        await volumes.commit(lease, "run 1")
    assert await tree_of(volumes) == tree_on_disk(folder)
    for snapshot in await volumes.log(WEB, 5):
        log = (await tree_of(volumes, at=snapshot.number)).get("/hot/log", b"")
        assert isinstance(log, bytes)
        assert log == b"x" * len(log)


async def test_what_is_rewritten_all_the_time_is_never_stored_torn(volumes: Volumes) -> None:
    # First one half, then the other: (n, n) and (n + 1, n) are all there ever is.
    halves = """
import os, itertools
file = os.open(argv[0], os.O_RDWR | os.O_CREAT)
for n in itertools.count():
    os.pwrite(file, b"%08d" % n * 4000, 0)
    os.pwrite(file, b"%08d" % n * 4000, 32000)
"""
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            with writer(halves, folder / "halves"):
                await until(lambda: bool(stream.status.unsteady) or stream.status.commits > 3)
        await volumes.commit(lease, "run 1")
    for snapshot in await volumes.log(WEB, 100):
        data = (await tree_of(volumes, at=snapshot.number)).get("/halves", b"")
        assert isinstance(data, bytes)
        numbers = [int(data[at : at + 8]) for at in range(0, len(data), 8)]
        assert numbers == sorted(numbers, reverse=True)
        assert not numbers or numbers[0] - numbers[-1] in (0, 1)
    assert await tree_of(volumes) == tree_on_disk(folder)


DATABASE = """
import sqlite3, sys, itertools, time
mode, pause = argv[1], float(argv[2])
base = sqlite3.connect(argv[0], isolation_level=None)
base.execute(f"PRAGMA journal_mode={mode}")
base.execute("CREATE TABLE IF NOT EXISTS a (n INTEGER, pad BLOB)")
base.execute("CREATE TABLE IF NOT EXISTS b (n INTEGER)")
print("ready", flush=True)
for n in itertools.count(1):
    base.execute("BEGIN IMMEDIATE")
    base.execute("INSERT INTO a VALUES (?, zeroblob(2000))", (n,))
    base.execute("INSERT INTO b VALUES (?)", (n,))
    base.execute("COMMIT")
    print(n, flush=True)
    time.sleep(pause)
"""


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_a_database_is_stored_with_its_journal_as_of_one_instant(
    volumes: Volumes, tmp_path: Path, mode: str
) -> None:
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1") as stream:
            with writer(DATABASE, folder / "data.db", mode, 0.06) as process:
                assert process.stdout is not None
                assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "1\n"]
                await until(lambda: stream.status.commits >= 3)
        await volumes.commit(lease, "run 1")
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    counts = []
    for snapshot in reversed(await volumes.log(WEB, 100)):
        async with elsewhere.check_out_read_only(WEB, snapshot.number) as shown:
            copy = tmp_path / f"restored-{snapshot.number}"
            await anyio.run_process(["cp", "-a", str(shown), str(copy)])
        if (copy / "data.db").exists():
            counts.append(rows_of(copy / "data.db"))
    assert counts == sorted(counts)
    assert counts[-1] > 0


def rows_of(path: Path) -> int:
    """A database that is whole, in which both tables had the same transactions, 1 to n."""
    base = sqlite3.connect(path)
    try:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master")}
        if tables != {"a", "b"}:
            return 0
        a = [n for (n,) in base.execute("SELECT n FROM a ORDER BY n")]
        assert a == [n for (n,) in base.execute("SELECT n FROM b ORDER BY n")] == list(range(1, len(a) + 1))
        return len(a)
    finally:
        base.close()


@pytest.mark.usefixtures("only_hints")
async def test_names_that_only_look_like_those_of_a_database_are_kept(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1"):
        (folder / "a").write_bytes(b"1")
        (folder / "a-wal").mkdir()
        (folder / "a-wal/file").write_bytes(b"2")
        (folder / "a-journal").symlink_to("nowhere")
        (folder / "a-shm").write_bytes(b"3")
        await until_folder_is_stored(volumes, folder)
        (folder / "a").write_bytes(b"changed")
        (folder / "a-shm").unlink()
        os.mkfifo(folder / "a-shm")
        expected = {"/a": b"changed", "/a-wal": None, "/a-wal/file": b"2", "/a-journal": "nowhere"}
        await until_stored(volumes, dict(expected))


async def test_a_file_with_two_names_stays_one(volumes: Volumes, tmp_path: Path) -> None:
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1"):
        (folder / "d").mkdir()
        (folder / "a").write_bytes(b"1")
        (folder / "d/b").hardlink_to(folder / "a")
        await until_folder_is_stored(volumes, folder)
        (folder / "a").write_bytes(b"both")
        await until_folder_is_stored(volumes, folder)
        (folder / "new").write_bytes(b"apart")
        (folder / "new").rename(folder / "a")
        await until_folder_is_stored(volumes, folder)
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    for snapshot in await volumes.log(WEB, 10):
        async with elsewhere.check_out_read_only(WEB, snapshot.number) as shown:
            assert tree_on_disk(shown) == await tree_of(volumes, snapshot.number)


async def test_folders_beyond_the_limit_are_looked_at(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_EAR_FOLDERS", 5)
    monkeypatch.setattr(watch, "_EARS", 2)
    monkeypatch.setattr(streaming, "_LOOK_S", 0.5)
    async with run_on(volumes) as (lease, folder), volumes.stream(lease, "run 1") as stream:
        for number in range(40):
            (folder / f"d{number}").mkdir()
        await until(lambda: "more than can be watched" in (stream.status.scan_only or ""))
        for number in range(40):
            (folder / f"d{number}/f").write_bytes(b"%d" % number)
        await until_folder_is_stored(volumes, folder)
