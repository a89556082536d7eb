"""How long does it take to commit a workspace, open it unchanged, commit an edit, and restore it elsewhere?

    .venv/bin/python benchmarks/volume_sync.py [--store directory|s3] [--quick] [--json]

A workspace is generated (10,000 files, 300 MB). Hutch, restic and rclone take the same steps with copies of
it, one after another in each round, so that they share the machine's moods; tar and zstd are a limit rather
than peers. Before each step what is dirty goes to the disk, so nobody pays for another's writes. `s3` starts
a real S3 server on loopback (Ceph's gateway, its objects in memory) for all of them. Hutch is measured inside
a running daemon's process, as its users have it; the others start as the programs that they are.
`scripts/install-peers` brings restic and rclone.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio import to_thread

from _measure import Row, options, report
from _peers import PEERS, STEPS, find
from _stores import Bucket, bench_store, s3_bucket, stored
from _workspace import edit, generate
from hutch.volumes import CountingStore, VolumeName, Volumes

_NAME = VolumeName.parse("bench")
_SETTLED_S = 0.05  # files of this very moment would be read twice
Samples = dict[str, list[float]]


async def main() -> None:
    given = options(__doc__, store=("directory", "s3"))
    scale, rounds = (0.1, 2) if given.quick else (1.0, 3)
    times: Samples = {}
    counts: Samples = {}
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="hutch-bench-")))
        bucket = stack.enter_context(s3_bucket()) if given.choices["store"] == "s3" else None
        generate(root / "workspace", scale)
        for number in range(rounds):
            prefix = f"round-{number}"
            space = root / prefix
            space.mkdir()
            async with bench_store(space / "hutch", bucket, prefix) as store:
                await hutch(times, counts, CountingStore(store), root / "workspace", space)
            for tool, run in PEERS.items():
                if find(tool):
                    work = partial(run, partial(timed, times), root / "workspace", space, bucket, prefix)
                    await to_thread.run_sync(work)
            await note_stored(counts, space, bucket, prefix)
            shutil.rmtree(space)
    rows = [Row.of(name, "s", seconds) for name, seconds in times.items()]
    ratios = {**compared(rows, "restic"), **compared(rows, "rclone"), **compared(rows, "tar | zstd -1 -T2")}
    rows += [Row.of(name, "", values) for name, values in counts.items()]
    missing = {tool: "not installed: scripts/install-peers" for tool in PEERS if not find(tool)}
    report(f"Volumes on {given.choices['store']}", rows, ratios, given, missing)


def compared(rows: list[Row], peer: str) -> dict[str, float]:
    """How many times as long as Hutch a peer takes for each step that it takes."""
    p50 = {row.name: row.p50 for row in rows}
    return {
        f"{step}: {peer} / hutch": p50[f"{step}: {peer}"] / p50[f"{step}: hutch"]
        for step in STEPS
        if f"{step}: {peer}" in p50
    }


@contextmanager
def timed(times: Samples, name: str) -> Iterator[None]:
    """Add what the block took."""
    subprocess.run(["sync"], check=True)
    began = time.perf_counter()
    yield
    times.setdefault(name, []).append(time.perf_counter() - began)


async def hutch(times: Samples, counts: Samples, store: CountingStore, workspace: Path, space: Path) -> None:
    """The steps, and a fresh daemon's first look at a volume that this host has."""

    @contextmanager
    def step(name: str) -> Iterator[None]:
        requests, sent = sum(store.requests.values()), store.sent
        with timed(times, f"{name}: hutch"):
            yield
        counts.setdefault(f"{name}: requests of hutch", []).append(sum(store.requests.values()) - requests)
        counts.setdefault(f"{name}: MB sent by hutch", []).append((store.sent - sent) / 1e6)

    volumes, fresh, elsewhere = (Volumes(store, space / cache) for cache in ("cache", "cache", "elsewhere"))
    async with volumes.lease(_NAME, "bench", create=True) as lease:
        folder = await volumes.check_out(lease)
        await anyio.run_process(["cp", "-a", f"{workspace}/.", str(folder)])
        await anyio.sleep(_SETTLED_S)
        with step("commit"):
            await volumes.commit(lease, "bench")
    with step("open unchanged"):
        await opened(volumes)
    with step("open unchanged, fresh daemon"):
        await opened(fresh)
    async with volumes.lease(_NAME, "bench") as lease:
        edit(await volumes.check_out(lease), seed=1)
        await anyio.sleep(_SETTLED_S)
        with step("commit of an edit"):
            await volumes.commit(lease, "bench")
    async with elsewhere.lease(_NAME, "bench") as lease:
        with step("restore"):
            await elsewhere.check_out(lease)
        await elsewhere.commit(lease, "bench")
    with step("restore again"):
        await opened(elsewhere)


async def opened(volumes: Volumes) -> None:
    """A run that changes nothing: lease, folder, commit, and the lease given back."""
    async with volumes.lease(_NAME, "bench") as lease:
        await volumes.check_out(lease)
        await volumes.commit(lease, "bench")


async def note_stored(counts: Samples, space: Path, bucket: Bucket | None, prefix: str) -> None:
    """What each keeps in the end, history included."""
    for tool in ("hutch", "restic", "rclone"):
        size, objects = await stored(space / tool, bucket, f"{prefix}/{tool}")
        counts.setdefault(f"stored: MB of {tool}", []).append(size / 1e6)
        counts.setdefault(f"stored: objects of {tool}", []).append(objects)


if __name__ == "__main__":
    anyio.run(main)
