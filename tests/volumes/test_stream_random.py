"""A writer that does anything at random while it is streamed: each snapshot is whole, the last one exact."""

from pathlib import Path

import anyio
import pytest

from hutch.volumes import DirectoryStore, Volumes
from hutch.volumes.streaming import stream as streaming
from support.streams import until_all_is_stored, writer
from support.volume_engine import WEB, listing, run_on, tree_of, tree_on_disk

ANYTHING = r"""
import os, random, shutil, time
from pathlib import Path

root, rng, until = Path(argv[0]), random.Random(int(argv[1])), time.monotonic() + float(argv[2])
NAMES = ["a", "b", "c", "x.db", "x.db-wal", "x.db-journal", *(os.fsdecode(b"\xff%d" % n) for n in range(3))]


def folders():
    found = [root]
    for folder, below, _ in os.walk(root):
        found += [path for name in below if not (path := Path(folder, name)).is_symlink()]
    return found


def write(path):
    path.write_bytes(os.urandom(rng.choice([0, 10, 5000, 300_000])))


def append(path):
    with path.open("ab") as file:
        file.write(os.urandom(2000))


def sparse(path):
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(rng.randrange(400_000))
        file.seek(rng.randrange(400_000))
        file.write(b"data")


def make(path):
    (path / "q/r").mkdir(parents=True)
    (path / "q/r/f").write_bytes(b"deep")


def move(path):
    source = rng.choice(list(rng.choice(folders()).iterdir()))
    if source not in path.parents:
        source.rename(path)


def link(path):
    path.symlink_to(rng.choice(["/", "..", "/etc/passwd"]))


def join(path):
    os.link(rng.choice([p for p in path.parent.iterdir() if p.is_file() and not p.is_symlink()]), path)


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def touch(path):
    os.utime(path, (1, 1), follow_symlinks=False)


DO = [write] * 4 + [append, sparse, make, make, move, move, link, join, join, remove, touch]
while time.monotonic() < until:
    act, path = rng.choice(DO), rng.choice(folders()) / rng.choice([*NAMES, f"l{rng.randrange(20)}"])
    if path.is_symlink() and act in (write, append, sparse, make):
        continue  # it leads out of the volume: root would write over the host's own files
    try:
        act(path)
    except (OSError, IndexError):
        pass
    time.sleep(rng.choice([0, 0, 0.001, 0.02, 0.2 if rng.random() < 0.05 else 0]))
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
async def test_whatever_a_run_does_each_snapshot_is_whole_and_the_last_is_exact(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_LOOK_S", 1.0)
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1"):
            with writer(ANYTHING, folder, seed, 4) as process:
                assert process.stdout is not None
                assert await anyio.to_thread.run_sync(process.stdout.readline) == "done\n"
            await until_all_is_stored(volumes, folder)
            streamed = (await volumes.info(WEB)).snapshot
        last = await volumes.commit(lease, "run 1")
        assert last is not None
        expected = listing(folder)
        assert await tree_of(volumes) == await tree_of(volumes, at=streamed)  # nothing was left to be found
    assert (await volumes.check(WEB)).problems == ()
    async with run_on(elsewhere) as (_, restored):
        assert listing(restored) == expected
    for number in range(1, last.number, max(1, last.number // 8)):
        async with elsewhere.check_out_read_only(WEB, number) as shown:
            assert tree_on_disk(shown).keys()
