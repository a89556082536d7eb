"""What comes back is what was there, as GNU find and GNU tar see it."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, LeftOut, Volumes
from support.volume_engine import WEB, listing, run_on


@pytest.fixture
def one(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "one")


@pytest.fixture
def two(tmp_path: Path) -> Volumes:
    return Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "two")


# What its own owner may not enter, the tools that we compare with could not either, unless they are root
MODES = (
    [0o000, 0o400, 0o644, 0o755, 0o1777, 0o666]
    if os.geteuid() == 0
    else [0o700, 0o500, 0o755, 0o711, 0o1777, 0o777]
)


def plant(folder: Path, rng: random.Random) -> None:
    """Everything that a volume keeps, with odd names, modes and times."""
    for number in range(200):
        place = folder / f"d{number % 7}" / f"e{number % 5}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_bytes(rng.randbytes(rng.choice([0, 1, 100, 5_000, 70_000])))
    for number, name in enumerate(
        [b"new\nline", b"sp ace", b"\xff\xfe", "größe".encode(), b"-rf", b"*", b"x" * 255]
    ):
        (folder / os.fsdecode(name)).write_bytes(name)
        (folder / "links").mkdir(exist_ok=True)
        (folder / "links" / str(number)).symlink_to(os.fsdecode(name))
    (folder / "dangling").symlink_to("/nowhere/at/all")
    (folder / "empty/inner").mkdir(parents=True)
    (folder / "large").write_bytes(rng.randbytes(3_000_001))
    for number, mode in enumerate(MODES):
        (folder / f"mode-{number}").write_bytes(b"m")
        (folder / f"mode-{number}").chmod(mode)
        (folder / f"folder-{number}").mkdir()
        (folder / f"folder-{number}" / "inner").write_bytes(b"i")
        (folder / f"folder-{number}").chmod(mode)
    for number in range(3):
        os.link(folder / "large", folder / f"d{number}" / "hard")
    os.link(folder / "mode-2", folder / "hard-2")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
        for offset in (0, 1 << 20, 1 << 39):
            sparse.seek(offset)
            sparse.write(b"data")
    for path in [*sorted(folder.rglob("*")), folder]:
        time = rng.randrange(2**31 * 1_000_000_000)
        os.utime(path, ns=(time, time), follow_symlinks=False)


def archived(folder: Path) -> list[bytes]:
    """As tar sees it: names, links, sparse maps, attributes and a checksum over content."""
    pack = "tar --sparse --xattrs --sort=name --numeric-owner --exclude=sparse -cf - ."
    command = f"{pack} | tar -tv --full-time --xattrs"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=True)
    return done.stdout.splitlines()


def contents(folder: Path) -> bytes:
    command = "find . -type f ! -name sparse -print0 | sort -z | xargs -0 sha256sum; cmp -n 2M sparse sparse"
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, check=True).stdout


async def test_a_tree_comes_back_as_it_was(one: Volumes, two: Volumes) -> None:
    async with run_on(one) as (lease, folder):
        plant(folder, random.Random(7))
        assert await one.commit(lease, "run 1") is not None
        assert await one.commit(lease, "run 1") is None
        async with two.check_out_read_only(WEB) as reading:
            assert listing(reading) == listing(folder)
            assert archived(reading) == archived(folder)
            assert contents(reading) == contents(folder)
            assert (reading / "sparse").stat().st_blocks < 100
            with (reading / "sparse").open("rb") as sparse:
                sparse.seek(1 << 39)
                assert sparse.read(6) == b"data\0\0"


async def test_a_folder_is_brought_up_to_date_in_place(one: Volumes, two: Volumes) -> None:
    async with run_on(one) as (lease, folder):
        plant(folder, random.Random(7))
        await one.commit(lease, "run 1")
    async with run_on(two) as (lease, folder):
        change(folder)
        await two.commit(lease, "run 2")
        after = listing(folder)
    async with run_on(one) as (lease, folder):
        assert listing(folder) == after
        assert await one.commit(lease, "run 3") is None


def change(folder: Path) -> None:
    """Every kind of difference: gone, new, another kind, mode, time, link, hard link, hole."""
    shutil.rmtree(folder / "d1")
    (folder / "d2" / "hard").unlink()
    shutil.copyfile(folder / "large", folder / "d2" / "hard")
    (folder / "empty/inner").rmdir()
    (folder / "empty").rmdir()
    (folder / "empty").write_bytes(b"a file now")
    (folder / "-rf").unlink()
    (folder / "-rf").mkdir()
    (folder / "dangling").unlink()
    (folder / "dangling").symlink_to("elsewhere")
    (folder / "folder-3").chmod(0o500)
    (folder / "folder-0/inner").write_bytes(b"changed")
    os.link(folder / "d0" / "hard", folder / "another-name")
    (folder / "hard-2").rename(folder / "renamed")
    with (folder / "sparse").open("r+b") as sparse:
        sparse.seek(1 << 30)
        sparse.write(b"a new island")
    os.utime(folder / "d3", ns=(5, 5))


async def test_attributes_of_users_are_kept_and_others_are_told(one: Volumes, two: Volumes) -> None:
    async with run_on(one) as (lease, folder):
        (folder / "a").write_bytes(b"1")
        (folder / "d").mkdir()
        os.setxattr(folder / "a", "user.note", bytes(range(256)))
        os.setxattr(folder / "d", "user.empty", b"")
        first = await one.commit(lease, "run 1")
        assert first is not None
        assert first.left_out_count == 0
    async with run_on(two) as (lease, folder):
        assert os.getxattr(folder / "a", "user.note") == bytes(range(256))
        assert os.getxattr(folder / "d", "user.empty") == b""
        os.removexattr(folder / "a", "user.note")
        os.setxattr(folder / "d", "user.empty", b"no more")
        second = await two.commit(lease, "run 2")
        assert second is not None
        assert [str(change) for change in second.changes] == ["M a", "M d"]
    async with run_on(one) as (_, folder):
        assert os.listxattr(folder / "a") == []
        assert os.getxattr(folder / "d", "user.empty") == b"no more"


async def test_what_a_volume_does_not_keep_is_left_out_and_told(one: Volumes, two: Volumes) -> None:
    async with run_on(one) as (lease, folder):
        (folder / "kept").write_bytes(b"1")
        (folder / "kept").chmod(0o4755)
        os.mkfifo(folder / "fifo")
        snapshot = await one.commit(lease, "run 1")
        assert snapshot is not None
        assert set(snapshot.left_out) == {
            LeftOut("fifo", "a FIFO"),
            LeftOut("kept", "its setuid or setgid bit"),
        }
        assert await one.commit(lease, "run 1") is None
    async with run_on(two) as (_, folder):
        assert [path.name for path in folder.iterdir()] == ["kept"]
        assert (folder / "kept").stat().st_mode & 0o7777 == 0o755


async def test_hard_links_that_part_come_back_as_two_files(one: Volumes, two: Volumes) -> None:
    async with run_on(one) as (lease, folder):
        (folder / "x").write_bytes(b"1")
        (folder / "y").hardlink_to(folder / "x")
        await one.commit(lease, "run 1")
        (folder / "new").write_bytes(b"2")
        (folder / "new").rename(folder / "x")
        (folder / "y").write_bytes(b"3")
        await one.commit(lease, "run 1")
    async with run_on(two) as (_, folder):
        assert ((folder / "x").read_bytes(), (folder / "y").read_bytes()) == (b"2", b"3")
        assert (folder / "x").stat().st_nlink == 1
