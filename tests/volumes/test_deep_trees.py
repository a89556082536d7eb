"""Trees deeper than any path can be long, and ways down that are moved meanwhile."""

import os
import subprocess
from pathlib import Path

import pytest

from hutch.runs.volume_service.comparing import compare
from hutch.volumes import DirectoryStore, Volumes
from hutch.volumes.folder import beneath
from hutch.volumes.folder.beneath import Descent, TreeMovedError, open_beneath, remove_tree
from hutch_mcp_tools.volume_records import DiffRequest
from support.volume_engine import WEB, run_on, tree_on_disk


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")


def make_deep(folder: Path, levels: int, name: str, files: int = 1) -> None:
    """Deeper than any path can be long."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    for n in range(files):
        os.close(os.open(f"bottom{n or ''}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


async def test_a_page_of_differences_holds_no_more_of_very_long_paths_than_it_can(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        for top in (".hutch", "mine"):
            (folder / top).mkdir()
            make_deep(folder / top, levels=300, name="x" * 250, files=60)
        await volumes.commit(lease, "run 1")
    whole = [change.path async for change in volumes.diff(WEB, 0)]
    told: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = await compare(volumes, WEB, DiffRequest(volume="web", a="0", offset=offset, limit=10_000))
        assert sum(len(change.path) for change in page.changes) < 5 << 20
        told += [change.path for change in page.changes]
        offset = page.next
    assert sorted(told) == sorted(whole)


@pytest.mark.parametrize(("levels", "name"), [(4000, "d"), (400, "x" * 250)])
async def test_a_tree_deeper_than_any_path_goes_there_and_back(
    volumes: Volumes, elsewhere: Volumes, tmp_path: Path, levels: int, name: str
) -> None:
    async with run_on(volumes) as (lease, folder):
        make_deep(folder, levels, name)
        snapshot = await volumes.commit(lease, "run 1")
        assert snapshot is not None
        assert (snapshot.change_count, snapshot.files) == (levels + 1, 1)
        assert all(len(change.raw) <= 4096 for change in snapshot.changes)
        assert await volumes.commit(lease, "run 1") is None
    async with run_on(elsewhere) as (lease, folder):
        assert await elsewhere.commit(lease, "run 2") is None
        count = subprocess.run(["find", ".", "-mindepth", "1"], cwd=folder, capture_output=True, check=True)
        assert count.stdout.count(b"\n") == levels + 1
        remove(folder)
        snapshot = await elsewhere.commit(lease, "run 2")
        assert snapshot is not None
        assert (snapshot.files, [change.kind for change in snapshot.changes]) == (0, ["D"])
    async with run_on(volumes) as (_, folder):
        assert list(folder.iterdir()) == []
    assert (await volumes.check(WEB)).problems == ()
    remove(tmp_path)


def remove(folder: Path) -> None:
    """With our own hands: shutil.rmtree has neither the stack nor the paths for it."""
    fd = os.open(folder, os.O_RDONLY)
    for child in list(folder.iterdir()):
        remove_tree(fd, os.fsencode(child.name))
    os.close(fd)


async def test_a_deep_tree_with_branches_far_down_goes_there_and_back(
    volumes: Volumes, elsewhere: Volumes
) -> None:
    async with run_on(volumes) as (lease, folder):
        make_deep(folder, 200, "d")
        for depth in (1, 60, 70, 130, 135):  # each is come back to from below
            make_deep(folder / "/".join("d" * depth), 70, "e")
        assert (snapshot := await volumes.commit(lease, "run 1")) is not None
        assert await volumes.commit(lease, "run 1") is None
        here = tree_on_disk(folder)
    async with run_on(elsewhere) as (lease, folder):
        assert await elsewhere.commit(lease, "run 2") is None
        assert tree_on_disk(folder) == here
        remove_tree_of(folder, b"d")
        assert not (folder / "d").exists()
    assert snapshot.files == 6


def remove_tree_of(folder: Path, name: bytes) -> None:
    root = os.open(folder, os.O_RDONLY)
    remove_tree(root, name)
    os.close(root)


@pytest.mark.parametrize("with_openat2", [True, False])
def test_what_is_opened_lies_beneath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_openat2: bool
) -> None:
    monkeypatch.setattr(beneath._Support, "openat2", with_openat2)
    (tmp_path / "root/d/e").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "root/d/e/f").write_bytes(b"inside")
    (tmp_path / "root/up").symlink_to("..")
    (tmp_path / "root/d/link").symlink_to(tmp_path / "secret")
    root = os.open(tmp_path / "root", os.O_RDONLY)
    fd = open_beneath(root, b"d/e/f")
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    for path in (b"up/secret", b"d/link", b"up", b"up/root/d/e/f"):
        with pytest.raises(OSError, match=r"symbolic links|directory|loop"):
            open_beneath(root, path)
    os.close(root)


def test_a_descent_notices_that_its_way_back_was_moved(tmp_path: Path) -> None:
    make_deep(tmp_path, 80, "d")
    root = os.open(tmp_path, os.O_RDONLY)
    with Descent(root) as descent:
        for _ in range(70):
            descent.down(b"d")
        (tmp_path / "d/d/d").rename(tmp_path / "moved")
        for _ in range(64):
            descent.up()
        with pytest.raises(TreeMovedError):
            climb(descent, 6)
    os.close(root)


def climb(descent: Descent, levels: int) -> None:
    for _ in range(levels):
        descent.up()
