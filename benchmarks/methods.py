"""What does a sandbox cost, by every method that runs here: its start, starts a second, an idle one's memory?

    .venv/bin/python benchmarks/methods.py [--quick] [--json] [--part start|rate|idle] [--as report|table]

Beside the methods stand the bare tool and the peers that are installed: Codex's sandbox command and srt. All
rows of a part run in one call, so that they share the machine's moods; what counts are the ratios. What
cannot be measured here is named, and why. `--as table` is the table of docs/methods.md.
"""

import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from _measure import Row, options, report
from _methods import FAILURES, Missing, bare_of, bare_tools, methods, peers, start_true, that_run
from _methods_table import table
from _proc import available_bytes, proportional_bytes
from hutch.errors import unwrapped
from hutch_launchers.launcher import Launcher
from hutch_mcp_tools.run_records import RunRequest
from support.daemon import Daemon, daemon

Measured = Callable[[], Awaitable[object]]

_AT_ONCE = (1, 16, 64)
_RATE_S = 1  # each in turn, again and again
_IDLE = (100, 500)
_OPENERS = 8
_SLOW_S = 0.1  # what takes longer than this is measured less often


async def main() -> None:
    given = options(__doc__, part=("all", "start", "rate", "idle"), **{"as": ("report", "table")})
    part = given.choices["part"]
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hutch-bench-")))
        made = await stack.enter_async_context(daemon(folder / "d", starter=(sys.executable,)))
        measured: dict[str, Measured] = {}
        missing: Missing = {}
        if part in ("all", "start", "rate"):
            launchers, missing = await methods()
            others, absent = peers(folder)
            missing |= absent
            starts = await stack.enter_async_context(_starts(launchers, made))
            measured = await that_run(starts | others, missing)
        if part in ("all", "start"):
            rows += await _latency(measured, missing, rounds=10 if given.quick else 100)
            ratios |= _over_bare(rows)
        if part in ("all", "rate"):
            rates = await _rates(measured, missing, rounds=1 if given.quick else 5)
            rows += rates
            ratios |= _of_bare(rates)
        if part in ("all", "idle"):
            rows += await _idle(made, _IDLE[:1] if given.quick else _IDLE)
    if given.choices["as"] == "table":
        print(table(rows, missing))
    else:
        report("Cost of a sandbox", rows, ratios, given, missing)


@asynccontextmanager
async def _starts(launchers: Mapping[str, Launcher], made: Daemon) -> AsyncGenerator[dict[str, Measured]]:
    """Every way to run `true`."""
    async with made.client() as client:

        async def through_daemon() -> None:
            record = await client.run(RunRequest(command=["true"]), 45)
            assert record.exit_code == 0, record

        yield {
            "true": lambda: anyio.run_process(["true"]),
            **await bare_tools(),
            **{name: start_true(launcher) for name, launcher in launchers.items()},
            "bubblewrap through the daemon": through_daemon,
        }


async def _latency(measured: Mapping[str, Measured], missing: Missing, rounds: int) -> list[Row]:
    samples: dict[str, list[float]] = {name: [] for name in measured}
    slow: set[str] = set()
    for n in range(rounds + 2):
        for name, call in measured.items():
            if name in missing or (name in slow and n % 5):
                continue
            began = time.perf_counter()
            try:
                await call()
            except FAILURES as error:
                missing[name] = f"failed: {error}"
            took_s = time.perf_counter() - began
            if n >= 2:
                samples[name].append(took_s)
            elif took_s > _SLOW_S:
                slow.add(name)
    whole = {name: seconds for name, seconds in samples.items() if name not in missing}
    return [Row.of(name, "ms", [s * 1000 for s in seconds]) for name, seconds in whole.items()]


async def _rates(measured: Mapping[str, Measured], missing: Missing, rounds: int) -> list[Row]:
    rows = []
    for at_once in _AT_ONCE:
        samples: dict[str, list[float]] = {f"{name} @{at_once}": [] for name in measured}
        for _ in range(rounds):
            for (row, rates), call in zip(samples.items(), measured.values(), strict=True):
                if row in missing:
                    continue
                try:
                    with unwrapped():
                        rates.append(await _rate(call, at_once, _RATE_S))
                except FAILURES as error:
                    missing[row] = f"failed: {error}"
        rows += [Row.of(row, "/s", rates) for row, rates in samples.items() if row not in missing]
    return rows


async def _rate(call: Measured, at_once: int, seconds: float) -> float:
    done = 0
    began = time.perf_counter()

    async def again() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await call()
            done += 1

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(again)
    return done / (time.perf_counter() - began)


async def _idle(made: Daemon, counts: tuple[int, ...]) -> list[Row]:
    """Memory of kept bubblewraps that do nothing: what the daemon holds for each, what the host has less."""
    assert made.process is not None
    rows = []
    async with made.client() as client:
        opened = 0

        async def open_up_to(count: int) -> None:
            nonlocal opened
            while opened < count:
                opened += 1
                record = await client.run(RunRequest(command=["true"], session_id="new"), 45)
                assert record.exit_code == 0, record

        await open_up_to(1)  # what all of them share is there from now on
        before_daemon, before_host = proportional_bytes(made.process.pid), available_bytes()
        for count in counts:
            async with anyio.create_task_group() as group:
                for _ in range(_OPENERS):
                    group.start_soon(open_up_to, count)
            daemon_mib = (proportional_bytes(made.process.pid) - before_daemon) / opened / (1 << 20)
            host_mib = (before_host - available_bytes()) / opened / (1 << 20)
            rows.append(Row.of(f"one of {count} idle, in the daemon", "MiB", [daemon_mib]))
            rows.append(Row.of(f"one of {count} idle, on the host", "MiB", [host_mib]))
    return rows


def _over_bare(rows: list[Row]) -> dict[str, float]:
    """How many ms a method adds to its bare tool."""
    p50 = {row.name: row.p50 for row in rows}
    return {
        f"{name} over bare, ms": value - p50[bare]
        for name, value in p50.items()
        if (bare := bare_of(name)) in p50
    }


def _of_bare(rows: list[Row]) -> dict[str, float]:
    """The share of the bare tool's rate that a method has."""
    rate = {row.name: row.p50 for row in rows}
    found = {}
    for name, value in rate.items():
        method, _, at_once = name.partition(" @")
        bare = f"{bare_of(method)} @{at_once}"
        if bare in rate:
            found[f"{name} / bare"] = value / rate[bare]
    return found


if __name__ == "__main__":
    anyio.run(main)
