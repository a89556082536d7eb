"""A working folder is an attacker's: nothing of the host is read, nothing hangs, nothing blows up."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, ObjectStore, VolumeName, Volumes
from hutch.volumes.failures import FolderBusyError
from hutch.volumes.folder import copies
from hutch.volumes.folder.findings import Findings
from hutch.volumes.folder.ingest import Ingested, ingest
from hutch.volumes.log.state import State
from hutch.volumes.tree.known import Known
from support.volume_engine import WEB, commit_files, run_on, tree_of, tree_on_disk


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")


async def test_special_files_are_left_out_and_never_opened(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        os.mkfifo(folder / "fifo")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "socket"))
        (folder / "file").write_bytes(b"1")
        snapshot = await volumes.commit(lease, "run 1")
        assert snapshot is not None
        assert {(left.path, left.reason) for left in snapshot.left_out} == {
            ("fifo", "a FIFO"),
            ("socket", "a socket"),
        }
    assert await tree_of(volumes) == {"/file": b"1"}


async def test_a_huge_sparse_file_costs_what_is_in_it(
    volumes: Volumes, elsewhere: Volumes, tmp_path: Path
) -> None:
    async with run_on(volumes) as (lease, folder):
        with (folder / "sparse").open("wb") as sparse:
            sparse.truncate(1 << 40)
            sparse.seek(1 << 39)
            sparse.write(b"x" * 10_000)
        (folder / "nothing").touch()
        os.truncate(folder / "nothing", 1 << 40)
        assert await volumes.commit(lease, "run 1") is not None
    async with run_on(elsewhere) as (_, folder):
        assert (folder / "sparse").stat().st_size == 1 << 40
        assert (folder / "sparse").stat().st_blocks < 100
    stored = subprocess.run(["du", "-sb", tmp_path / "store"], capture_output=True, check=True).stdout
    assert int(stored.split()[0]) < 100_000


@contextmanager
def meanwhile(work: object) -> Iterator[None]:
    """Do something again and again in another thread, as a sandbox would."""
    stop = threading.Event()

    def again() -> None:
        assert callable(work)
        while not stop.is_set():
            work()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def test_a_folder_swapped_for_a_link_is_never_followed(volumes: Volumes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"of the host")
    async with run_on(volumes) as (lease, folder):
        (folder / "trap").mkdir()
        (folder / "trap" / "secret").write_bytes(b"mine")

        def swap() -> None:
            (folder / "trap").rename(folder / "aside")
            (folder / "trap").symlink_to(outside)
            (folder / "trap").unlink()
            (folder / "aside").rename(folder / "trap")

        with meanwhile(swap):
            for _ in range(150):
                with suppress(FolderBusyError):
                    await volumes.commit(lease, "run 1")
    for snapshot in await volumes.log(WEB, 1000):
        assert b"of the host" not in (await tree_of(volumes, snapshot.number)).values()


async def test_a_file_swapped_for_a_link_or_a_fifo_is_never_followed(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"of the host")
    async with run_on(volumes) as (lease, folder):

        def swap() -> None:
            (folder / "new").write_bytes(os.urandom(4))
            (folder / "new").rename(folder / "file")
            (folder / "new").symlink_to(tmp_path / "secret")
            (folder / "new").rename(folder / "file")
            os.mkfifo(folder / "new")
            (folder / "new").rename(folder / "file")

        with meanwhile(swap):
            for _ in range(150):
                await volumes.commit(lease, "run 1")
    for snapshot in await volumes.log(WEB, 1000):
        assert b"of the host" not in (await tree_of(volumes, snapshot.number)).values()


async def test_a_file_that_is_appended_to_all_the_time_is_kept_in_some_state(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        lines = (folder / "log").open("ab", buffering=0)

        def append() -> None:
            lines.write(b"%015d\n" % (lines.tell() // 16))

        with meanwhile(append):
            for _ in range(50):
                await volumes.commit(lease, "run 1")
        await volumes.commit(lease, "run 1")
        lines.close()
        assert (await tree_of(volumes))["/log"] == (folder / "log").read_bytes()
    for snapshot in await volumes.log(WEB, 1000):
        data = (await tree_of(volumes, snapshot.number)).get("/log", b"")
        assert isinstance(data, bytes)
        assert data == b"".join(b"%015d\n" % number for number in range(len(data) // 16))


async def test_files_that_grow_between_the_look_and_the_read_are_kept(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_on(volumes) as (lease, folder):
        for number in range(200):
            (folder / f"f{number}").write_bytes(b"small")

        async def grow_then_ingest(
            store: ObjectStore, root: int, state: State, findings: Findings, known: Known | None
        ) -> Ingested:
            for number in range(200):
                (folder / f"f{number}").write_bytes(
                    b"%d" % number * (500_000 if number % 20 == 0 else 10_000)
                )
            return await ingest(store, root, state, findings, known)

        monkeypatch.setattr(copies, "ingest", grow_then_ingest)
        assert await volumes.commit(lease, "run 1") is not None
        assert await tree_of(volumes) == tree_on_disk(folder)


async def test_a_link_in_the_place_of_a_folder_is_inert_at_restore(
    volumes: Volumes, elsewhere: Volumes, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    await commit_files(volumes, {"d/file": b"1"})
    async with run_on(elsewhere) as (_, folder):
        pass
    async with run_on(volumes) as (lease, folder):
        (folder / "d/file").write_bytes(b"2")
        await volumes.commit(lease, "run 2")
    tree = tmp_path / "elsewhere/default/web/tree"
    (tree / "d/file").unlink()
    (tree / "d").rmdir()
    (tree / "d").symlink_to(outside)
    async with run_on(elsewhere) as (_, folder):
        assert tree_on_disk(folder) == {"/d": None, "/d/file": b"2"}
    assert list(outside.iterdir()) == []
    conflict = next(info.name for info in await elsewhere.list() if "@" in info.name)
    assert await tree_of(elsewhere, name=VolumeName.parse(conflict)) == {"/d": str(outside)}


@pytest.mark.parametrize("year", [2300, 9999, -200])
async def test_a_time_that_no_volume_can_tell_is_the_nearest_one(
    volumes: Volumes, elsewhere: Volumes, year: int
) -> None:
    time_ns = (year - 1970) * 31_556_952 * 10**9
    async with run_on(volumes) as (lease, folder):
        (folder / "folder").mkdir()
        (folder / "file").write_bytes(b"x")
        (folder / "large").write_bytes(b"x" * 300_000)
        (folder / "link").symlink_to("file")
        for path in ("file", "large", "link", "folder", "."):
            os.utime(folder / path, ns=(0, time_ns), follow_symlinks=False)
        assert await volumes.commit(lease, "run 1") is not None
        assert await volumes.commit(lease, "run 1") is None
    async with run_on(elsewhere) as (lease, folder):
        assert await elsewhere.commit(lease, "run 2") is None
        assert (folder / "file").read_bytes() == b"x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_commits_and_restores_what_closed_itself(tmp_path: Path) -> None:
    program = """
import os, sys, anyio
from pathlib import Path
from hutch.volumes import DirectoryStore, Volumes
from support.volume_engine import run_on, tree_of

async def main(root):
    one = Volumes(DirectoryStore(root / "store"), root / "one")
    two = Volumes(DirectoryStore(root / "store"), root / "two")
    async with run_on(one) as (lease, folder):
        (folder / "closed").mkdir()
        (folder / "closed/file").write_bytes(b"inside")
        (folder / "closed/file").chmod(0)
        (folder / "closed").chmod(0)
        (folder / "read-only").mkdir()
        (folder / "read-only/file").write_bytes(b"1")
        (folder / "read-only").chmod(0o555)
        assert (await one.commit(lease, "run 1")).left_out_count == 0
        assert await one.commit(lease, "run 1") is None
    modes = {e.path: oct(e.mode) async for e in one.tree(lease.name)}
    assert list(modes.values()) == ["0o0", "0o0", "0o555", "0o644"], modes
    assert (await tree_of(one))["/closed/file"] == b"inside"
    async with run_on(two) as (lease, folder):
        assert oct((folder / "closed").stat().st_mode & 0o777) == "0o0"
        assert await two.commit(lease, "run 2") is None
    await one.write(lease.name, "/read-only/new", b"2")
    await one.write(lease.name, "/closed/file", b"3", mode="overwrite")
    async with run_on(two) as (lease, folder):
        assert (folder / "read-only/new").read_bytes() == b"2"
        (folder / "closed").chmod(0o700)
        (folder / "closed/file").chmod(0o600)
        assert (folder / "closed/file").read_bytes() == b"3"

anyio.run(main, Path(sys.argv[1]))
"""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.is_relative_to(tempfile.gettempdir()) and parent.stat().st_uid == os.geteuid():
            parent.chmod(parent.stat().st_mode | 0o011)
    become = ["setpriv", "--reuid", "1500", "--regid", "1500", "--clear-groups"]
    usable = subprocess.run([*become, sys.executable, "-c", "import anyio"], capture_output=True, check=False)
    if usable.returncode:
        pytest.skip("this interpreter cannot be used by an ordinary user")
    done = subprocess.run(
        [*become, sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
