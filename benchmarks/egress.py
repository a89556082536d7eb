"""What a way out costs: through a door of a sandbox, through its proxy, directly, and through tinyproxy.

The same client pulls from the same server on loopback. In a sandbox it comes by a door, or by CONNECT to the
proxy inside; outside directly, or by CONNECT to tinyproxy (scripts/install-peers, or one on PATH). They take
turns. Told are the time to a connection's first byte, the rate of 1, 16 and 64 streams, and the processor
time that what stands between takes for a gigabyte.
"""

import contextlib
import json
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.buffered import BufferedByteReceiveStream

from _measure import Options, Row, options, report
from _peers import find
from hutch.egress import InForce, Resolver, open_ways
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.spec import Command, Limits, SandboxSpec
from support.networks import network

ENDS = Path(__file__).parent / "_egress_ends.py"
PYTHON = "/usr/bin/python3"
STREAMS = (1, 16, 64)
NAME = "bench.internal"
PROXY = "127.0.0.1:3128"
GB = 10**9

Cpu = Callable[[], float]  # seconds that what stands between has taken
Run = Callable[..., Awaitable[tuple[Any, float]]]  # a measure and its words -> what was found, Cpu meanwhile


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the server."""

    name: str
    run: Run
    cpu: Cpu | None = None


async def ask(stdin: ByteSendStream, stdout: ByteReceiveStream, cpu: Cpu | None) -> tuple[Any, float]:
    """Let a client that is ready begin; return what it found, and the processor time meanwhile."""
    lines = BufferedByteReceiveStream(stdout)
    ready = await lines.receive_until(b"\n", 1 << 20)
    assert ready == b"ready", ready
    before = cpu() if cpu else 0.0
    await stdin.send(b"\n")
    found = json.loads(await lines.receive_until(b"\n", 1 << 24))
    return found, (cpu() if cpu else 0.0) - before


def outside(where: str, proxy: str, cpu: Cpu | None = None) -> Run:
    async def run(measure: str, *words: str) -> tuple[Any, float]:
        argv = [PYTHON, str(ENDS), measure, where, proxy, *words]
        async with await anyio.open_process(argv, stdin=PIPE, stdout=PIPE, stderr=None) as process:
            assert process.stdin
            assert process.stdout
            return await ask(process.stdin, process.stdout, cpu)

    return run


def inside(folder: Path, port: int, proxy: str) -> Run:
    granted = network(services=[f"{NAME}:{port}"])

    async def look_up(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async def run(measure: str, *words: str) -> tuple[Any, float]:
        argv = (PYTHON, "-c", ENDS.read_text(), measure, f"{NAME}:{port}", proxy, *words)
        command = Command(argv, PurePosixPath("/"), {"PATH": "/usr/bin:/bin"})
        force, resolver = InForce(granted), Resolver(look_up)
        async with open_ways(force, "bench", folder, lambda _: None, resolver=resolver) as endpoint:
            spec = SandboxSpec(
                f"bench-{os.urandom(6).hex()}", command, (), Limits(wall_s=600), endpoint, frozenset()
            )
            async with BubblewrapLauncher().launch(spec) as process:
                return await ask(process.stdin, process.stdout, own_cpu)

    return run


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    argv = [PYTHON, str(ENDS), "serve"]
    async with await anyio.open_process(argv, stdin=DEVNULL, stdout=PIPE, stderr=None) as process:
        assert process.stdout
        yield int(await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 99))
        process.kill()


@asynccontextmanager
async def tinyproxy(program: str, folder: Path, port: int) -> AsyncIterator[tuple[str, Cpu]]:
    """Yield where it listens, and its clock."""
    own = await free_port()
    rules = (
        f"Port {own}\nListen 127.0.0.1\nAllow 127.0.0.1\nConnectPort {port}\nMaxClients 200\nLogLevel Error\n"
    )
    (folder / "tinyproxy.conf").write_text(rules)
    words = [program, "-d", "-c", str(folder / "tinyproxy.conf")]
    async with await anyio.open_process(words, stdout=DEVNULL, stderr=DEVNULL) as process:
        with anyio.fail_after(20):
            while True:
                with contextlib.suppress(OSError):
                    await (await anyio.connect_tcp("127.0.0.1", own)).aclose()
                    break
                await anyio.sleep(0.05)

        def cpu() -> float:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        yield f"127.0.0.1:{own}", cpu
        process.terminate()


async def free_port() -> int:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))


async def measure(ways: list[Way], given: Options) -> tuple[list[Row], dict[str, float]]:
    rounds, count, total = (2, 50, 128 << 20) if given.quick else (3, 200, 512 << 20)
    seconds: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    for _ in range(rounds):
        for way in ways:
            found, _ = await way.run("connect", str(count))
            seconds.setdefault(way.name, []).extend(found)
        for streams in STREAMS:
            for way in ways:
                took, cpu = await way.run("pull", str(streams), str(total // streams))
                rates.setdefault(f"{way.name}, {streams} streams", []).append(total / took / 1e6)
                if way.cpu:
                    costs.setdefault(f"{way.name}, {streams} streams", []).append(cpu / total * GB)
    rows = [Row.of(f"first byte: {name}", "ms", [s * 1e3 for s in found]) for name, found in seconds.items()]
    rows += [Row.of(f"rate: {name}", "MB/s", found) for name, found in rates.items()]
    rows += [Row.of(f"processor: {name}", "s/GB", found) for name, found in costs.items()]
    return rows, ratios({row.name: row.p50 for row in rows}, [way.name for way in ways])


def ratios(p50: Mapping[str, float], ways: list[str]) -> dict[str, float]:
    """Of each way of ours to those beside it: below 1 the rate is lower, above 1 the first byte later."""
    found = {}
    for other in ("direct", "tinyproxy"):
        for way in ("door", "proxy"):
            if other not in ways:
                continue
            found[f"first byte, {way} : {other}"] = p50[f"first byte: {way}"] / p50[f"first byte: {other}"]
            for streams in STREAMS:
                ours, theirs = (p50[f"rate: {name}, {streams} streams"] for name in (way, other))
                found[f"rate of {streams}, {way} : {other}"] = ours / theirs
    return found


async def main(given: Options) -> None:
    missing = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with server() as port, contextlib.AsyncExitStack() as stack:
            ways = [
                Way("direct", outside(f"127.0.0.1:{port}", "-")),
                Way("door", inside(folder, port, "-"), own_cpu),
                Way("proxy", inside(folder, port, PROXY), own_cpu),
            ]
            if program := find("tinyproxy"):
                where, cpu = await stack.enter_async_context(tinyproxy(program, folder, port))
                ways.append(Way("tinyproxy", outside(f"127.0.0.1:{port}", where, cpu), cpu))
            else:
                missing["tinyproxy"] = "not installed: scripts/install-peers"
            rows, compared = await measure(ways, given)
    report("Ways out of a sandbox", rows, compared, given, missing)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    anyio.run(main, options(__doc__))
