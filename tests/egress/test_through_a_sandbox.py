"""Doors of a real sandbox: what is granted is reached by its own name and address, and nothing else is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import anyio
import pytest
from anyio.abc import SocketStream

from hutch.agents import AgentTurn, Ending
from hutch.agents.stored import new_uuid
from hutch.egress import Connection, InForce, Resolver, open_ways
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.spec import Command, EgressEndpoint, Limits, SandboxSpec
from support.agent_sandbox import ENV, claude, scripted_model, turn
from support.networks import network
from support.processes import free_port

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow]


async def run(command: Command, egress: EgressEndpoint | None) -> list[str]:
    """Run it in a sandbox; return the lines of its output."""
    spec = SandboxSpec(new_uuid(), command, (), Limits(wall_s=60), egress, frozenset())
    async with BubblewrapLauncher().launch(spec) as process:
        await process.stdin.aclose()
        return b"".join([chunk async for chunk in process.stdout]).decode().splitlines()


@asynccontextmanager
async def service(port: int) -> AsyncIterator[None]:
    async def greet(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"hello from the host\n")
            await stream.send_eof()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)
        yield
        tasks.cancel_scope.cancel()


async def test_a_door_is_reached_by_name_or_by_its_own_address_and_no_other_port_is(tmp_path: Path) -> None:
    named, literal, other = free_port(), free_port(), free_port()
    granted = InForce(network(services=[f"db.internal:{named}", f"127.0.0.1:{literal}"]))
    log: list[Connection] = []

    async def ask(host: str, _: int) -> list[str]:
        return {"db.internal": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}[host]

    script = """
for place in "$@"; do exec 3<>/dev/tcp/$place && cat <&3 || echo "no: $place"; done 2>/dev/null
"""
    places = [f"db.internal/{named}", f"127.0.0.1/{literal}", f"127.0.0.1/{other}", f"127.0.0.1/{named}"]
    command = Command(("bash", "-c", script, "try", *places), PurePosixPath("/"), ENV)
    async with service(named), service(literal), service(other):
        async with open_ways(granted, "r", tmp_path, log.append, resolver=Resolver(ask)) as endpoint:
            out = await run(command, endpoint)
        assert await run(command, None) == [f"no: {place}" for place in places]
    assert out == [
        "hello from the host",
        "hello from the host",
        f"no: 127.0.0.1/{other}",
        f"no: 127.0.0.1/{named}",
    ]
    assert [(c.host, c.port, c.bytes_in, c.refused) for c in log] == [
        ("db.internal", named, 20, None),
        ("127.0.0.1", literal, 20, None),
    ]


async def test_claude_code_reaches_its_model_through_its_door_and_nothing_else(tmp_path: Path) -> None:
    volume, secret_port = tmp_path / "volume", free_port()
    async with scripted_model(tmp_path / "model") as model, service(secret_port):
        agent = claude(model.url)
        shell = f"(exec 3<>/dev/tcp/127.0.0.1/{secret_port}) 2>&1 | tail -c 19 > tried"
        script = json.dumps([{"shell": shell}, {"text": "It cannot."}])
        what = AgentTurn(f"Try. SCRIPT: {script}", new_uuid(), resumes=False)
        async with turn(model, volume, agent, what) as at_work:
            outcome = await at_work.end()
    assert (outcome.ending, outcome.text) == (Ending.DONE, "It cannot.")
    assert (volume / "tried").read_text() == "Connection refused\n"
    port = int(model.url.rpartition(":")[2])
    assert model.connections
    assert {(c.host, c.port, c.refused) for c in model.connections} == {("127.0.0.1", port, None)}
