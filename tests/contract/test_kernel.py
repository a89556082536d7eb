"""Kernel: bombs and balloons, watched from the host: only the run itself suffers."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from support.contract_cases import shows
from support.contract_column import Column
from support.contract_host import available_bytes, free_bytes

pytestmark = pytest.mark.slow  # real sandboxes, by two users

_MIB = 1 << 20
_GROW = "a = []\nwhile True: a.append(bytearray(8 << 20))"
_BALLOONS = {
    "one process": _GROW,
    "many processes": "import os\nfor _ in range(12):\n if os.fork() == 0: break\n" + _GROW,
    "shared anonymous": (
        "import mmap\na = []\nwhile True:\n"
        " m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20)); a.append(m)"
    ),
    "daemonised": (
        "import os\nif os.fork(): signal.pause()\nos.setsid()\nif os.fork(): signal.pause()\n" + _GROW
    ),
}
_KILLS = """
import os
for pid, number in [(-1, 15), (-1, 9), *((pid, 9) for pid in range(2, 33000) if pid != os.getpid())]:
    try:
        os.kill(pid, number)
    except OSError:
        pass
print('done')
"""
# Memory that no process has mapped: files without a name, filled by write(2)
_UNMAPPED = (
    "import os\nn = 0\n"
    "try:\n while n < 120:\n  f = os.memfd_create('x'); os.write(f, b'x' * (8 << 20)); n += 1\n"
    "except OSError: pass\nprint(n * 8)"
)


@shows("kernel/memory")
@pytest.mark.parametrize("kind", _BALLOONS)
async def test_a_balloon_ends_its_own_run_and_no_other(sandbox: Column, kind: str) -> None:
    argv = ["/usr/bin/python3", "-c", _BALLOONS[kind]]
    async with _neighbour(sandbox) as neighbour:
        record = await sandbox.run(argv, memory_bytes=96 * _MIB, timeout_s=20)
        # a resource limit answers the process itself, a control group or the watch kills
        assert record.status == "oom" or (record.exit_code or 0) > 0, record
        assert (await sandbox.client.get_run(neighbour)).status == "running"
    sandbox.stage.assert_untouched()


@shows("kernel/memory")
async def test_a_balloon_in_private_folders_stays_within_its_limits(sandbox: Column) -> None:
    fill = "for f in /tmp /dev/shm ~; do head -c 300M /dev/zero > $f/fill; done; du -sm /tmp /dev/shm ~; true"
    before = available_bytes()
    record = await sandbox.run(fill, memory_bytes=128 * _MIB, timeout_s=20)
    assert record.is_ended
    assert before - available_bytes() < 600 * _MIB
    assert (await sandbox.run("true")).exit_code == 0


@shows("kernel/memory")
async def test_memory_that_is_mapped_nowhere_counts_too(sandbox: Column) -> None:
    record = await sandbox.run(["/usr/bin/python3", "-c", _UNMAPPED], memory_bytes=96 * _MIB, timeout_s=20)
    stdout, _ = await sandbox.output(record)
    assert record.status == "oom" or int(stdout) <= 192, f"{stdout} MiB were given"


@shows("kernel/memory")
async def test_what_fits_is_given(sandbox: Column) -> None:
    argv = ["/usr/bin/python3", "-c", "bytearray(64 << 20)"]
    assert (await sandbox.run(argv, memory_bytes=256 * _MIB)).exit_code == 0


@shows("kernel/fork-bomb")
@pytest.mark.parametrize("bomb", ["b() { b | b & }; b; sleep 1", "while :; do sleep 3 & done"])
async def test_a_fork_bomb_stays_in_its_limit(sandbox: Column, bomb: str) -> None:
    async with _neighbour(sandbox) as neighbour:
        record = await sandbox.run(["bash", "-c", bomb], pids=64, timeout_s=1)
        assert record.is_ended
        assert (await sandbox.client.get_run(neighbour)).status == "running"
        assert (await sandbox.run("echo alive")).exit_code == 0
    sandbox.stage.assert_untouched()


@shows("kernel/fork-bomb")
async def test_threads_count_too_and_a_few_are_given(sandbox: Column) -> None:
    text = (
        "import threading\nn = 0\ne = threading.Event()\n"
        "try:\n while n < 500: threading.Thread(target=e.wait, daemon=True).start(); n += 1\n"
        "except RuntimeError: pass\nprint(n, flush=True)\nimport os; os._exit(0)"
    )
    record = await sandbox.run(["/usr/bin/python3", "-c", text], pids=64)
    started = int((await sandbox.output(record))[0])
    assert 20 <= started <= 64


@shows("kernel/cpu")
async def test_spinning_processes_do_not_starve_the_daemon(sandbox: Column) -> None:
    spin = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait"
    record = await sandbox.run("true")
    spinning = await sandbox.begin(spin, cpus=0.5, timeout_s=20)
    began = time.monotonic()
    for _ in range(5):
        assert (await sandbox.client.get_run(record.run_id)).exit_code == 0
    assert time.monotonic() - began < 2
    await sandbox.client.stop_run(spinning.run_id, 0)


@shows("kernel/kill-all")
async def test_kill_all_reaches_only_its_own(sandbox: Column) -> None:
    async with _neighbour(sandbox) as neighbour:
        record = await sandbox.run(["/usr/bin/python3", "-c", _KILLS])
        assert (await sandbox.output(record))[0] == "done\n"
        assert (await sandbox.client.get_run(neighbour)).status == "running"
    sandbox.stage.assert_untouched()


@shows("kernel/disk")
async def test_private_folders_cannot_fill_the_host(sandbox: Column) -> None:
    free = free_bytes()
    fill = "for f in /tmp /dev/shm /home/agent /run /dev; do head -c 2G /dev/zero > $f/fill; done; true"
    record = await sandbox.run(fill, timeout_s=20)
    assert record.is_ended
    assert free - free_bytes() < 1500 * _MIB
    assert (await sandbox.run("echo x > /tmp/x && echo x > ~/x")).exit_code == 0


@asynccontextmanager
async def _neighbour(made: Column) -> AsyncGenerator[str]:
    """Another sandbox at work for the length of the block; yields its run's id."""
    record = await made.begin("exec sleep 500", timeout_s=60)
    try:
        yield record.run_id
    finally:
        with anyio.CancelScope(shield=True):
            await made.client.stop_run(record.run_id, 0)
