"""docs/read_volume.py, which knows nothing of Hutch, restores what Hutch restores."""

import os
import random
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, RetentionRules, VolumeName, Volumes
from hutch.volumes.log.codec import ENTRY, sealed
from support.volume_engine import WEB, commit_files, listing, run_on
from support.volume_golden import plant

READER = Path(__file__).parents[2] / "docs/read_volume.py"
COPY = VolumeName.parse("copy")


def read(store: Path, name: str, target: Path, at: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-I",
        str(READER),
        str(store),
        f"default/{name}",
        str(target),
        *([at] if at else []),
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


async def assert_same(volumes: Volumes, store: Path, name: VolumeName, at: int | str | None = None) -> None:
    """Every property that a volume keeps, as GNU find sees it, and every byte."""
    target = Path(tempfile.mkdtemp(dir=store.parent)) / "target"
    done = read(store, name.name, target, None if at is None else str(at))
    assert (done.returncode, done.stderr) == (0, "")
    async with volumes.check_out_read_only(name, at) as folder:
        assert listing(target) == listing(folder)
        compared = subprocess.run(
            ["diff", "-r", "--no-dereference", "--exclude=sparse", target, folder],
            check=False,
            capture_output=True,
        )
        assert compared.stdout == b""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def volumes(store: Path, tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(store), tmp_path / "cache")


async def test_every_kind_of_thing_is_restored(volumes: Volumes, store: Path) -> None:
    chance = random.Random(1)
    async with run_on(volumes) as (lease, folder):
        (folder / "sub").mkdir()
        plant(folder / "sub")
        (folder / "large").write_bytes(chance.randbytes(3_000_000))
        for number in range(300):
            (folder / f"small-{number}").write_bytes(chance.randbytes(chance.randrange(2000)))
        await volumes.commit(lease, "run 1")
        (folder / "large").unlink()
        (folder / "large").mkdir(mode=0o500)
        (folder / "small-7").unlink()
        os.setxattr(folder / "small-8", "user.tag", b"\xff\x00")
        with (folder / "small-9").open("ab") as file:
            file.write(chance.randbytes(600_000))
        await volumes.commit(lease, "run 1")
    for at in (None, 1, 2):
        await assert_same(volumes, store, WEB, at)


async def test_history_beyond_checkpoints_and_what_thinning_left_is_restored(
    volumes: Volumes, store: Path
) -> None:
    await commit_files(volumes, {"a": b"1", "d/large": random.Random(2).randbytes(400_000)})
    for number in range(140):
        await volumes.write(WEB, f"/n/{number % 7}", b"%d" % number, mode="overwrite")
    await volumes.tag(WEB, "good", 30)
    rules = RetentionRules(keep_all_s=0, keep_last=1, hourly=0, daily=0, weekly=0, monthly=0)
    dropped = (await volumes.thin(WEB, rules)).dropped
    await volumes.gc(WEB)
    assert len(dropped) == 138
    for at in (None, 140, "good"):
        await assert_same(volumes, store, WEB, at)
    assert read(store, "web", store.parent / "nothing", "90").returncode != 0


async def test_forks_are_restored(volumes: Volumes, store: Path) -> None:
    second = VolumeName.parse("second")
    await commit_files(volumes, {"a": b"1", "large": random.Random(3).randbytes(400_000)})
    await commit_files(volumes, {"a": b"2"})
    await volumes.fork(WEB, COPY, at=1)
    await assert_same(volumes, store, COPY)
    await commit_files(volumes, {"b": b"of the copy"}, COPY)
    await volumes.fork(COPY, second)
    await commit_files(volumes, {"large": b"small"}, second)
    await volumes.restore(second, 0)
    for name in (COPY, second):
        await assert_same(volumes, store, name)


async def test_a_tree_of_many_levels_is_restored(volumes: Volumes, store: Path) -> None:
    async with run_on(volumes) as (lease, folder):
        here = os.open(folder, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("x", dir_fd=here)
            deeper = os.open("x", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here))
        os.close(here)
        await volumes.commit(lease, "run 1")
    target = store.parent / "deep"
    assert read(store, "web", target).returncode == 0
    shown = subprocess.run(
        ["find", ".", "-depth", "-name", "file", "-printf", "%d\n"],
        cwd=target,
        check=True,
        capture_output=True,
    )
    assert shown.stdout == b"1501\n"
    subprocess.run(["rm", "-rf", target, store.parent / "cache"], check=True)  # too deep for pytest to remove


@pytest.mark.parametrize("kind", ["log/", "packs/", "leases/"])
async def test_damage_is_noticed(volumes: Volumes, store: Path, kind: str) -> None:
    await commit_files(volumes, {"large": random.Random(4).randbytes(400_000)})
    (path,) = [path for path in store.rglob("*") if path.is_file() and f"/{kind}" in str(path)]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = read(store, "web", store.parent / "target")
    assert done.returncode != 0
    assert "damaged" in done.stderr


def test_a_frame_that_does_not_tell_its_length_is_unpacked(tmp_path: Path) -> None:
    """As the engine makes it of a large tree."""
    lines = [b'{"depth": 1, "name": "%d", "kind": "gone"}' % number for number in range(9000)]
    data, name = sealed(ENTRY, {"any": "header"}, iter(lines))
    (tmp_path / "entry").write_bytes(data)
    reader = runpy.run_path(str(READER))
    header, *nodes = reader["large"](tmp_path / "entry", name)
    assert header == {"any": "header"}
    assert [node["name"] for node in nodes] == [str(number) for number in range(9000)]
