"""How long after a write is it durable in the store, while a run goes on, and what does that cost?

    .venv/bin/python benchmarks/streaming_lag.py [--store s3] [--quick] [--json]

A volume of 10,000 files is checked out and streamed. Another process changes small files in it, 1, 10 and
1,000 times a second, each time another file with a content of its own, and notes when it had written. The
store notes when the entry that names this content was durable. `cpu` is the share of one core that the whole
process took that streams, its client of the store included; `requests` are those to the store for one entry.
`s3` is a real S3 server on loopback, which has the same two cores.
"""

import re
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from blake3 import blake3

from _measure import Row, options, report
from _stores import bench_store, s3_bucket
from hutch.volumes import Lease, ObjectInfo, ObjectStore, VolumeName, Volumes
from hutch.volumes.log.codec import ENTRY, opened
from hutch.volumes.stores.protocol import Condition

_NAME = VolumeName.parse("bench")
_FILES, _FOLDERS = 10_000, 1_000
Ratios = dict[str, float]
_RATES = (1, 10, 1000)
_HASH = re.compile(rb'"hash":"([0-9a-f]{64})"')


async def main() -> None:
    given = options(__doc__, store=("directory", "s3"))
    lasting_s = 5 if given.quick else 20
    rows: list[Row] = []
    ratios: Ratios = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hutch-bench-")))
        bucket = stack.enter_context(s3_bucket()) if given.choices["store"] == "s3" else None
        store = Noting(await stack.enter_async_context(bench_store(folder / "store", bucket, "lag")))
        volumes = Volumes(store, folder / "cache")
        async with volumes.lease(_NAME, "bench", create=True) as lease:
            tree = await volumes.check_out(lease)
            for number in range(_FILES):
                path = tree / name_of(number)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"%d\n" % number * 200)
            await volumes.commit(lease, "bench")
            for rate in _RATES:
                row, its = await measure(volumes, store, lease, rate, max(lasting_s, 20 // rate))
                rows.append(row)
                ratios |= its
                await volumes.commit(lease, "bench")
    report(f"Streaming on {given.choices['store']}: from a write to its entry", rows, ratios, given)


async def measure(
    volumes: Volumes, store: "Noting", lease: Lease, rate: int, lasting_s: int
) -> tuple[Row, Ratios]:
    """Stream while another process writes."""
    tree = await volumes.check_out(lease)
    async with volumes.stream(lease, "bench") as stream:
        await anyio.sleep(2)  # it looks at everything once
        store.clear()
        before, began, cpu = stream.status.commits, time.monotonic(), time.process_time()
        written = await writes(tree, rate, lasting_s)
        await anyio.sleep(3)
        took, used = time.monotonic() - began, time.process_time() - cpu
    lags = [store.durable[name] - at for name, at in written.items() if name in store.durable]
    label = f"{rate:,} a second"
    return Row.of(f"lag, {label}", "ms", [1000 * lag for lag in lags]), {
        f"cpu, {label}": used / took,
        f"requests an entry, {label}": store.puts / max(1, stream.status.commits - before),
        f"not stored after 3 s, {label}": len(written) - len(lags),
    }


async def writes(tree: Path, rate: int, lasting_s: int) -> dict[str, float]:
    """Have another process write; the hash of each content, and when it was written."""
    done = await anyio.run_process([sys.executable, __file__, "write", str(tree), str(rate), str(lasting_s)])
    lines = (line.split() for line in done.stdout.decode().splitlines())
    return {name: float(at) for name, at in lines}


def name_of(number: int) -> str:
    return f"{number % _FOLDERS}/{number}"


def write(tree: Path, rate: int, lasting_s: int) -> None:
    """What a sandbox would do."""
    began = time.monotonic()
    told = []
    for number in range(rate * lasting_s):
        while (left := began + number / rate - time.monotonic()) > 0:
            time.sleep(left)
        content = f"{began} {number}\n".encode() * 50
        with (tree / name_of(number * 7 % _FILES)).open("wb") as file:
            file.write(content)
        told.append(f"{blake3(content).hexdigest()} {time.monotonic()}\n")
    sys.stdout.write("".join(told))


class Noting:
    """A store that notes when which content was named by a durable entry."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.clear()

    def clear(self) -> None:
        self.durable: dict[str, float] = {}
        self.puts = 0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        tag = await self._inner.put(key, data, if_match=if_match)
        at = time.monotonic()
        self.puts += not key.startswith("leases/")
        if "/log/" in key:
            for lines in opened(ENTRY, data, key).lines:
                for name in _HASH.findall(lines):
                    self.durable.setdefault(name.decode(), at)
        return tag

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        async for info in self._inner.list(prefix):
            yield info


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        anyio.run(main)
