"""Limits: bombs and balloons, watched from the host: only the sandbox itself suffers."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from hutch_launchers.contract.bench import LIMITS, Bench
from hutch_launchers.contract.case import Case, expect
from hutch_launchers.spec import ExitStatus, Guarantee

_MIB = 1 << 20
_GROW = "a = []\nwhile True: a.append(bytearray(8 << 20))"
_BALLOONS = {
    "one process": _GROW,
    "many processes": "import os\nfor _ in range(12):\n if os.fork() == 0: break\n" + _GROW,
    "shared anonymous memory": (
        "import mmap\na = []\nwhile True:\n"
        " m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20)); a.append(m)"
    ),
    "a daemonised process": (  # whose end the first process learns by a pipe
        "import os\nr, w = os.pipe()\nif os.fork(): os.close(w); os.read(r, 1); os._exit(9)\n"
        "os.setsid()\nif os.fork(): os._exit(0)\n" + _GROW
    ),
}
# memory that no process has mapped: files without a name, filled by write(2)
_UNMAPPED = (
    "import os\nn = 0\n"
    "try:\n while n < 120:\n  f = os.memfd_create('x'); os.write(f, b'x' * (8 << 20)); n += 1\n"
    "except OSError: pass\nprint(n * 8)"
)
_THREADS = (
    "import threading\nn = 0\ne = threading.Event()\n"
    "try:\n while n < 500: threading.Thread(target=e.wait, daemon=True).start(); n += 1\n"
    "except RuntimeError: pass\nprint(n, flush=True)\nimport os; os._exit(0)"
)
_FORKS = (  # and a moment's wait, for a look where the kernel does not count
    "import os, signal\nn = 0\n"
    "try:\n while n < 200:\n  if os.fork() == 0: signal.pause()\n  n += 1\n"
    "except OSError: signal.sigtimedwait([], 0.5); os._exit(3)"
)
_BOMBS = ("b() { b | b & }; b; sleep 1", "while :; do sleep 3 & done")
_MUCH = 1500 * _MIB  # of the host's disk
_FILL = "for f in /tmp /dev/shm ~ /run /dev; do head -c 2G /dev/zero > $f/fill; done 2>/dev/null; true"


async def memory(bench: Bench) -> None:
    """Balloons of every kind, all at once: each ends, and a neighbour goes on."""
    limits = replace(LIMITS, memory_bytes=96 * _MIB)
    given: dict[str, str] = {}
    mistold: dict[str, ExitStatus] = {}

    async def blow(kind: str) -> None:
        done = await bench.run(bench.program(_BALLOONS[kind]), limits=limits)
        was_killed = signal.SIGKILL in (done.status.signal, (done.status.code or 0) - 128)
        if done.status.code == 0:
            given[kind] = done.ended_by
        elif was_killed and done.status.limit is not Guarantee.MEMORY:
            mistold[kind] = done.status

    async with _neighbour(bench):
        for kind in _BALLOONS:  # one by one: together they would ask more of the host than it may have
            await blow(kind)
        expect(not given, f"balloons that did not burst: {given}")
        expect(not mistold, f"balloons whose end was told as another's: {mistold}")
        done = await bench.run(bench.program(_UNMAPPED), limits=limits)
        expect(
            done.status.code != 0 or int(done.out) <= 192,
            f"{done.out.strip()} MiB without a mapping were given",
        )
    fits = await bench.run(
        bench.program("bytearray(64 << 20)"), limits=replace(LIMITS, memory_bytes=256 * _MIB)
    )
    expect(fits.status.code == 0, f"what fits was not given: {fits.err[-200:]}")


async def pids(bench: Bench) -> None:
    """Bombs of processes and threads."""
    limits = replace(LIMITS, pids=64)
    async with _neighbour(bench):
        for bomb in _BOMBS:
            async with bench.launcher.launch(bench.spec(bench.sh(bomb), limits=limits)):
                await anyio.sleep(0.5)
                expect(
                    (await bench.run(bench.sh("echo alive"))).out == "alive\n",
                    "nothing else could be started",
                )
    done = await bench.run(bench.program(_THREADS), limits=limits)
    started = int(done.out or 0)
    expect(20 <= started <= 64, f"{started} threads, the limit being 64: {done.err[-200:]}")
    failed = await bench.run(bench.program(_FORKS), limits=limits)
    told = ExitStatus(code=3, signal=None, limit=Guarantee.PIDS)
    expect(failed.status == told, f"what failed at the limit was told as {failed.status}")


async def cpu(bench: Bench) -> None:
    """Spinning processes leave the host its time."""
    spin = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; echo spinning; wait"
    async with bench.launcher.launch(bench.spec(bench.sh(spin), limits=replace(LIMITS, cpus=0.5))) as process:
        await process.stdout.receive()
        began = anyio.current_time()
        beside = await bench.run(bench.sh("echo alive"), within_s=60)
        expect(beside.out == "alive\n", "nothing else could be started")
        took = anyio.current_time() - began
        expect(took < 30, f"a command beside it took {took:.0f} s")


async def disk(bench: Bench) -> None:
    """Private folders are filled: the host's disk is not, and the next sandbox has room."""
    taken = await _filled(bench)
    if taken > _MUCH:  # others on this host write too, for a moment
        taken = await _filled(bench)
    expect(taken < _MUCH, f"{taken >> 20} MiB of the host's disk were taken")
    done = await bench.run(bench.sh("echo x > /tmp/x && echo x > ~/x && echo room"))
    expect(done.out == "room\n", done.err)
    full = await bench.run(bench.sh("head -c 2G /dev/zero > /tmp/fill"), within_s=60)
    told = (
        Guarantee.DISK,
        None,
    )  # nobody outside sees the folders of another kernel, or of another's container
    expect(full.status.code == 1, f"what failed with a folder full ended as {full.status}")
    expect(full.status.limit in told, f"what failed with a folder full was told as {full.status}")


async def _filled(bench: Bench) -> int:
    """How much of the host's disk went meanwhile."""
    before = _free_bytes()
    await bench.run(bench.sh(_FILL), within_s=60)
    return before - _free_bytes()


async def output(bench: Bench) -> None:
    """What is written without end and read by nobody waits: nobody keeps it, and its writer can be ended."""
    async with bench.launcher.launch(bench.spec(bench.sh("yes | cat & yes >&2 & exec yes"))) as process:
        await process.stdout.receive()
        before = _own_bytes()
        await anyio.sleep(0.5)
        kept = _own_bytes() - before
        expect(kept < 64 * _MIB, f"{kept >> 20} MiB of output were kept that nobody read")
        with anyio.move_on_after(30) as ending:
            await process.stop(1)
        expect(not ending.cancelled_caught, "it did not end")


@asynccontextmanager
async def _neighbour(bench: Bench) -> AsyncGenerator[None]:
    """Another sandbox at work for the length of the block, and still at its end."""
    async with bench.launcher.launch(bench.spec(bench.sh("echo ready; read x; echo alive"))) as process:
        await process.stdout.receive()
        yield
        await process.stdin.send(b"\n")
        expect(b"alive" in await process.stdout.receive(), "another sandbox was ended")


def _own_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _free_bytes() -> int:
    status = os.statvfs(Path("/"))
    return status.f_bavail * status.f_frsize


CASES = (
    Case(
        "limits/memory",
        "A memory balloon, by one process, many, or memory without a mapping: only that run dies",
        frozenset({Guarantee.MEMORY}),
        watch=memory,
    ),
    Case(
        "limits/fork-bomb",
        "A bomb of processes or threads: the limit holds, the rest lives",
        frozenset({Guarantee.PIDS}),
        watch=pids,
    ),
    Case("limits/cpu", "Spinning processes do not starve the host", frozenset({Guarantee.CPU}), watch=cpu),
    Case(
        "limits/disk", "Filling /tmp, /dev/shm and the home folder", frozenset({Guarantee.DISK}), watch=disk
    ),
    Case("limits/output", "A flood of output that nobody reads", watch=output),
)
