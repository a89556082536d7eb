"""How long does `true` take: by itself, in a bare bubblewrap, and through every door of Hutch?

    .venv/bin/python benchmarks/run_latency.py [--quick] [--json]

All rows run in one call, interleaved round by round, so that they share the machine's moods. What counts is
the ratio to bare bubblewrap, which starts the same namespaces with the same binary.
"""

import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from _measure import Row, options, report
from hutch.client import Client
from hutch_launchers.methods.bubblewrap.binary import find_bwrap
from hutch_mcp_tools.run_records import RunRequest
from support.daemon import Daemon, daemon

Measured = Callable[[], Awaitable[object]]

# The namespaces that Hutch asks for, and no more: what the kernel costs
_BARE = (
    "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup "
    "--uid 1000 --gid 1000 --cap-drop ALL --die-with-parent --new-session --ro-bind /usr /usr "
    "--symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev "
    "--tmpfs /tmp --clearenv -- true"
)


async def main() -> None:
    given = options(__doc__)
    rounds = 30 if given.quick else 300
    with TemporaryDirectory(prefix="hutch-bench-") as folder:
        async with daemon(Path(folder) / "d", starter=(sys.executable,)) as made, doors(made) as measured:
            samples = await sample(measured, rounds)
    rows = [Row.of(name, "ms", [s * 1000 for s in seconds]) for name, seconds in samples.items()]
    bare = next(row for row in rows if row.name == "bare bwrap true")
    report(
        "Latency of one `true`",
        rows,
        {f"{row.name} / bare bwrap": row.p50 / bare.p50 for row in rows if row is not bare},
        given,
    )


async def sample(measured: dict[str, Measured], rounds: int) -> dict[str, list[float]]:
    """Time every row once a round, after a few rounds to warm up."""
    samples: dict[str, list[float]] = {name: [] for name in measured}
    for n in range(rounds + 5):
        for name, call in measured.items():
            began = time.perf_counter()
            await call()
            if n >= 5:
                samples[name].append(time.perf_counter() - began)
    return samples


@asynccontextmanager
async def doors(made: Daemon) -> AsyncGenerator[dict[str, Measured]]:
    """Every way to run `true`, ready to be called."""
    bwrap = (await find_bwrap(None)).path
    async with AsyncExitStack() as stack:
        client: Client = await stack.enter_async_context(made.client())
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {made.token}"}, timeout=60)
        transport = streamable_http_client(f"{made.url}/mcp", http_client=http)
        mcp = await stack.enter_async_context(McpClient(transport))
        opened = await client.run(RunRequest(command=["true"], session_id="new"), 30)
        session = opened.session_id

        async def api() -> None:
            record = await client.run(RunRequest(command=["true"]), 30)
            assert record.exit_code == 0

        async def kept() -> None:
            record = await client.run(RunRequest(command=["true"], session_id=session), 30)
            assert record.exit_code == 0

        async def tool() -> None:
            assert not (await mcp.call_tool("run_in_sandbox", {"command": ["true"]})).is_error

        async def tool_kept() -> None:
            arguments = {"command": ["true"], "session_id": session}
            assert not (await mcp.call_tool("run_in_sandbox", arguments)).is_error

        yield {
            "true": lambda: anyio.run_process(["true"]),
            "bare bwrap true": lambda: anyio.run_process([str(bwrap), *_BARE.split()]),
            "through the daemon's API": api,
            "through MCP": tool,
            "kept sandbox, API": kept,
            "kept sandbox, MCP": tool_kept,
        }


if __name__ == "__main__":
    anyio.run(main)
