"""CPU time of a sandbox, as the host counts it."""

import sys
import time

import anyio

from hutch_launchers.cpu_meter import CpuMeter

BURN = """
import os, time
print("begin", flush=True)
for _ in range(3):
    if os.fork() == 0:
        while time.process_time() < 0.3:
            pass
        os._exit(0)
    os.wait()
print("end", flush=True)
"""


async def test_the_time_of_those_that_have_ended_by_the_last_look_counts_too() -> None:
    told = bytearray()
    async with await anyio.open_process([sys.executable, "-I", "-S", "-c", BURN]) as process:
        meter = CpuMeter(process.pid)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meter.watch, told, b"begin", b"end")
            assert process.stdout is not None
            told += await process.stdout.receive()
            began = time.monotonic()
            told += await process.stdout.receive()
            passed_s = time.monotonic() - began
    assert 0.4 < meter.cpus * passed_s < 1.8  # 0.9, on a host that may be busy


async def test_nothing_is_measured_of_what_nobody_knows() -> None:
    meter = CpuMeter(None)
    await meter.watch(bytearray(b"begin"), b"begin", b"end")
    assert meter.cpus == 0.0
