"""Volumes that are large or odd cost what they must. HUTCH_LARGE=1 takes the full sizes, which takes minutes.

Each step is a process of its own, so that the most memory that it held can be told.
"""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, FileRead, Volumes
from support.volume_engine import WEB, listing, run_on, tree_of, tree_on_disk

IS_LARGE = bool(os.environ.get("HUTCH_LARGE"))
STEPS = Path(__file__).parents[2] / "benchmarks/large_volumes.py"
MIB = 1 << 20


def memory_of(step: str, root: Path, many: int) -> float:
    """Run a step of the benchmark; returns the most memory that it held, in MiB."""
    run = subprocess.run([sys.executable, STEPS, step, str(root), str(many)], check=True, capture_output=True)
    figures: dict[str, float] = json.loads(run.stdout)
    return figures["memory"]


@pytest.mark.slow  # some 20,000 files go there and back
@pytest.mark.timeout(1800 if IS_LARGE else 400)
def test_very_many_files_take_bounded_memory(tmp_path: Path) -> None:
    files = 1_000_000 if IS_LARGE else 20_000
    subprocess.run([sys.executable, STEPS, "make", str(tmp_path), str(files)], check=True)
    bound = 160 + files * 900 / MIB  # MiB; a million files: 1,018
    for step in ("first commit", "open unchanged", "commit of an edit", "restore elsewhere", "tree"):
        assert memory_of(step, tmp_path, files) < bound, step
    assert listing(tmp_path / "cache/default/large/tree") == listing(
        next((tmp_path / "elsewhere").glob("*/*/*/*/tree"))
    )


@pytest.mark.slow  # a file of 200 MB goes there and back
@pytest.mark.timeout(900 if IS_LARGE else 400)
def test_a_very_large_file_takes_bounded_memory(tmp_path: Path) -> None:
    size = 10 << 30 if IS_LARGE else 200 * MIB
    (tmp_path / "src").mkdir()
    with (tmp_path / "src/big").open("wb") as big:
        dense = os.urandom(MIB // 2) + bytes(MIB // 2)
        for at in range(0, size * 3 // 4, MIB):
            big.write(at.to_bytes(8, "little") + dense[8:])
        big.seek(size - 5)
        big.write(b"after")  # a hole
    for step in ("first commit", "open unchanged", "restore elsewhere", "read one file"):
        assert memory_of(step, tmp_path, 1 << 30) < 300, step
    (restored,) = (tmp_path / "elsewhere").glob("*/*/*/*/tree/src/big")
    source = tmp_path / "cache/default/large/tree/src/big"
    subprocess.run(["cmp", source, restored], check=True)
    # A file system's own notes of where a file lies count as its blocks: a few more or less.
    assert restored.stat().st_blocks - 64 <= source.stat().st_blocks < size / 512


def odd_names() -> list[bytes]:
    composed = "f\u00fcr \u00e9 \u00f1 \u00c5 \uac01"
    words = ["README", "readme", "ReadMe", "fi", "ss", "CON", "aux.txt", "a.", ".a", "...", "K", "k"]
    words += ["-rf", "*", "%25", "\\", "'\""]
    alike = ["\uff26i", "\ufb01", "\u00df", "\u0130", "i\u0307", "\u212a", "\u200bhidden", "\U0001f600"]
    blank = [" ", "  ", "a ", "a\nb", "a\tb", "\x7f", "\x1b[31m"]
    texts = [composed, unicodedata.normalize("NFD", composed), *words, *alike, *blank]
    return [*map(str.encode, texts), b"\xff", b"\xc3", b"\xc3\x28", b"\xed\xa0\x80", b"x" * 255]


async def test_names_that_others_take_for_one_stay_apart(tmp_path: Path) -> None:
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    names = odd_names()
    assert len(set(names)) == len(names)
    async with run_on(volumes) as (lease, folder):
        for number, name in enumerate(names):
            inside = folder / os.fsdecode(b"of " + name[:200])
            inside.mkdir()
            for place in (folder, inside):
                (place / os.fsdecode(name)).write_bytes(b"%d" % number)
        snapshot = await volumes.commit(lease, "run")
        assert snapshot
        assert snapshot.files == 2 * len(names)
    async with run_on(elsewhere) as (lease, there):
        assert listing(there) == listing(folder)
        assert await elsewhere.commit(lease, "run") is None
    for number, name in enumerate(names):
        read = await volumes.read(WEB, b"/" + name)
        assert isinstance(read, FileRead)
        assert (read.data, read.entry.raw) == (b"%d" % number, b"/" + name)
        again = await volumes.read(WEB, read.entry.path)  # as it was shown
        assert isinstance(again, FileRead)
        assert again.entry.raw.decode(errors="replace") == (b"/" + name).decode(errors="replace")
    assert (await volumes.check(WEB)).is_whole


async def test_a_very_wide_folder_and_files_with_very_many_names(tmp_path: Path) -> None:
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"one file")
        for number in range(2000):
            (folder / f"name-{number}").hardlink_to(folder / "a")
            (folder / f"link-{number}").symlink_to(f"name-{number}")
        assert await volumes.commit(lease, "run")
    async with run_on(elsewhere) as (_, there):
        assert listing(there) == listing(folder)
        assert (there / "a").stat().st_nlink == 2001
    assert await tree_of(volumes) == {**tree_on_disk(there)}
