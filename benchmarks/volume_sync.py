"""How long does it take to commit a workspace, to open it unchanged, to commit an edit, and to restore it?

    .venv/bin/python benchmarks/volume_sync.py [--quick] [--json]

A workspace is generated (10,000 files, 300 MB: sources, JSON lines, binaries, a database, links). Hutch, tar,
tar with zstd and restic then do the same work on copies of it, one after another in each round, so that they
share the machine's moods. Before each step what is dirty goes to the disk, so nobody pays for another's
writes. Hutch and restic sync what they store; tar and zstd do not.
"""

import os
import random
import shutil
import sqlite3
import string
import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from _measure import Row, options, report
from hutch.volumes import DirectoryStore, VolumeName, Volumes

_NAME = VolumeName.parse("bench")
Samples = dict[str, list[float]]


async def main() -> None:
    given = options(__doc__)
    scale, rounds = (0.1, 2) if given.quick else (1.0, 3)
    samples: Samples = {}
    with TemporaryDirectory(prefix="hutch-bench-") as folder:
        root = Path(folder)
        generate(root / "workspace", scale)
        for number in range(rounds):
            space = root / f"round-{number}"
            space.mkdir()
            await hutch(samples, root / "workspace", space)
            for tool, run in PEERS.items():
                if shutil.which(tool):
                    run(samples, root / "workspace", space)
            shutil.rmtree(space)
    rows = [Row.of(name, "s", seconds) for name, seconds in samples.items()]
    missing = [tool for tool in PEERS if not shutil.which(tool)]
    report("Volumes: commit, open, edit, restore", rows, ratios(rows), given, missing)


def ratios(rows: list[Row]) -> dict[str, float]:
    """Hutch against each peer that did the same."""
    p50 = {row.name: row.p50 for row in rows}
    peers = {
        "commit": ("tar", "tar | zstd -1 -T2", "restic"),
        "commit of an edit": ("restic",),
        "restore": ("tar", "tar | zstd -1 -T2", "restic"),
    }
    return {
        f"{step}: hutch / {peer}": p50[f"{step}: hutch"] / p50[f"{step}: {peer}"]
        for step, tools in peers.items()
        for peer in tools
        if f"{step}: {peer}" in p50
    }


@contextmanager
def timed(samples: Samples, name: str) -> Iterator[None]:
    """Add what the block took."""
    os.sync()
    began = time.perf_counter()
    yield
    samples.setdefault(name, []).append(time.perf_counter() - began)


async def hutch(samples: Samples, workspace: Path, space: Path) -> None:
    store = DirectoryStore(space / "store")
    volumes = Volumes(store, space / "cache")
    async with volumes.lease(_NAME, "bench", create=True) as lease:
        folder = await volumes.check_out(lease)
        _call("cp", "-a", f"{workspace}/.", str(folder))
        await anyio.sleep(0.05)  # files of this very moment would be read twice
        with timed(samples, "commit: hutch"):
            await volumes.commit(lease, "bench")
    with timed(samples, "open unchanged: hutch"):
        async with opened(volumes):
            pass
    fresh = Volumes(store, space / "cache")
    with timed(samples, "open unchanged, fresh daemon: hutch"):
        async with opened(fresh):
            pass
    async with volumes.lease(_NAME, "bench") as lease:
        edit(await volumes.check_out(lease), seed=1)
        with timed(samples, "commit of an edit: hutch"):
            await volumes.commit(lease, "bench")
    elsewhere = Volumes(store, space / "elsewhere")
    async with elsewhere.lease(_NAME, "bench") as lease:
        with timed(samples, "restore: hutch"):
            await elsewhere.check_out(lease)


@asynccontextmanager
async def opened(volumes: Volumes) -> AsyncGenerator[Path]:
    """A run that changes nothing: lease, folder, commit, and the lease given back."""
    async with volumes.lease(_NAME, "bench") as lease:
        yield await volumes.check_out(lease)
        await volumes.commit(lease, "bench")


def tar(samples: Samples, workspace: Path, space: Path) -> None:
    _archive(samples, "tar", space, f"tar -C {workspace} -cf", "tar -xf")


def tar_zstd(samples: Samples, workspace: Path, space: Path) -> None:
    _archive(
        samples,
        "tar | zstd -1 -T2",
        space,
        f"tar -I 'zstd -1 -T2' -C {workspace} -cf",
        "tar -I 'zstd -d' -xf",
    )


def _archive(samples: Samples, name: str, space: Path, create: str, extract: str) -> None:
    archive, target = space / "archive", space / "extracted"
    target.mkdir()
    with timed(samples, f"commit: {name}"):
        _call("sh", "-c", f"{create} {archive} .")
    with timed(samples, f"restore: {name}"):
        _call("sh", "-c", f"{extract} {archive} -C {target}")
    archive.unlink()
    shutil.rmtree(target)


def restic(samples: Samples, workspace: Path, space: Path) -> None:
    copy, env = (
        space / "restic-copy",
        {"RESTIC_PASSWORD": "bench", "HOME": str(space), "PATH": os.environ["PATH"]},
    )
    _call("cp", "-a", str(workspace), str(copy))
    base = ["restic", "-q", "-r", str(space / "restic"), "--cache-dir", str(space / "restic-cache")]
    subprocess.run([*base, "init"], env=env, check=True)

    def backup() -> None:
        subprocess.run([*base, "backup", "."], env=env, cwd=copy, check=True)

    with timed(samples, "commit: restic"):
        backup()
    with timed(samples, "open unchanged: restic"):
        backup()
    edit(copy, seed=1)
    with timed(samples, "commit of an edit: restic"):
        backup()
    target = str(space / "restic-restored")
    with timed(samples, "restore: restic"):
        subprocess.run([*base, "restore", "latest", "--target", target], env=env, check=True)


def _call(*argv: str) -> None:
    subprocess.run(argv, check=True)


PEERS = {"tar": tar, "zstd": tar_zstd, "restic": restic}


# The workspace -----------------------------------------------------


def generate(root: Path, scale: float) -> None:
    """The same bytes for the same scale."""
    rng = random.Random(20)
    words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 11))) for _ in range(3000)]
    sources(root, rng, words, files=int(9600 * scale))
    for number in range(11):
        size = int((50 if number == 0 else 3) * 1e6 * scale)
        json_lines(root / "logs" / f"run-{number}.jsonl", rng, words, size)
    for number in range(int(80 * scale)):
        _write(root / "lib" / f"native-{number}.so", _binary(rng, 700_000))
    _write(root / "data" / "image.bin", rng.randbytes(int(20e6 * scale)))
    database(root / "data" / "index.sqlite", rng, words, rows=int(60_000 * scale))
    (root / "hard").mkdir()
    os.link(root / "data" / "image.bin", root / "hard" / "image.bin")
    for number in range(int(200 * scale)):
        (root / "hard" / f"link-{number}").symlink_to(f"../src/m{number}")
        (root / "empty" / str(number % 8)).mkdir(parents=True, exist_ok=True)


def sources(root: Path, rng: random.Random, words: list[str], files: int) -> None:
    """Text as a compiler sees it, in folders as a package manager makes them."""
    lines = [
        " " * (4 * rng.randint(0, 4))
        + " ".join(rng.choices(words, k=rng.randint(2, 9)))
        + rng.choice("(){};:")
        for _ in range(40_000)
    ]
    for number in range(files):
        package = root / ("src" if number % 4 == 0 else "node_modules") / f"m{number % 700}"
        length = min(4000, int(rng.paretovariate(1.1) * 60))
        _write(package / f"file{number}.ts", "\n".join(rng.choices(lines, k=length)).encode())


def json_lines(path: Path, rng: random.Random, words: list[str], size: int) -> None:
    """An agent's transcript."""
    parts, length = [], 0
    while length < size:
        text = " ".join(rng.choices(words, k=rng.randint(10, 120)))
        parts.append(
            f'{{"id":"{rng.getrandbits(64):016x}","type":"{rng.choice(words)}",'
            f'"ts":{1795000000 + length},"text":"{text}"}}'
        )
        length += len(parts[-1]) + 1
    _write(path, "\n".join(parts).encode()[:size])


def _binary(rng: random.Random, size: int) -> bytes:
    """Machine code is half noise, half repetition."""
    noise = rng.randbytes(size // 3)
    return b"".join(noise[at : at + 64] + noise[at : at + 16] * 8 for at in range(0, len(noise) - 64, 64))[
        :size
    ]


def database(path: Path, rng: random.Random, words: list[str], rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT, body TEXT)")
    made = ((rng.choice(words), " ".join(rng.choices(words, k=24))) for _ in range(rows))
    connection.executemany("INSERT INTO entry (name, body) VALUES (?, ?)", made)
    connection.commit()
    connection.close()


def edit(root: Path, seed: int) -> None:
    """Twenty edits of sources, and a megabyte more of transcript."""
    rng = random.Random(seed)
    for path in sorted((root / "src").glob("*/*.ts"))[
        :: max(1, len(list((root / "src").glob("*/*.ts"))) // 20)
    ][:20]:
        path.write_bytes(path.read_bytes() + b"// edited %d\n" % rng.getrandbits(32))
    with (root / "logs" / "run-0.jsonl").open("ab") as log:
        log.write(rng.randbytes(500_000).hex().encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    anyio.run(main)
