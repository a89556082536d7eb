"""Doors of a real sandbox: what is granted is reached by its own name and address, and nothing else is."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, PIPE

import anyio
import pytest
from anyio.abc import ByteReceiveStream, SocketStream

from hutch.agents import GIVEN, AgentTurn, ClaudeCode, Ending, Usage, give, new_session_id
from hutch.egress import Connection, Grant, open_doors, parse_grant
from hutch.errors import HutchError
from hutch_launchers.bubblewrap import BubblewrapLauncher
from hutch_launchers.spec import Command, EgressEndpoint, Limits, Mount, SandboxSpec
from support.egress_launcher import free_port

pytestmark = [pytest.mark.real("bubblewrap"), pytest.mark.slow]
ROOT = Path(__file__).parents[2]
WORKSPACE = PurePosixPath("/workspace")
ENV = {"HOME": "/home/agent", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


async def run(
    command: Command, mounts: tuple[Mount, ...], egress: EgressEndpoint | None, stdin: bytes = b""
) -> tuple[int | None, bytes, bytes]:
    spec = SandboxSpec(new_session_id(), command, mounts, Limits(wall_s=60), egress, frozenset())
    async with BubblewrapLauncher().launch(spec) as process:
        await process.stdin.send(stdin)
        await process.stdin.aclose()
        out, err = bytearray(), bytearray()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, process.stdout, out)
            tasks.start_soon(collect, process.stderr, err)
        return (await process.wait()).code, bytes(out), bytes(err)


async def collect(stream: ByteReceiveStream, into: bytearray) -> None:
    async for chunk in stream:
        into += chunk


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
    grants = [
        Grant("db.internal", named, is_host_service=True),
        Grant("127.0.0.1", literal, is_host_service=True),
    ]
    log: list[Connection] = []

    async def ask(host: str, _: int) -> list[str]:
        return {"db.internal": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}[host]

    script = """
for place in "$@"; do exec 3<>/dev/tcp/$place && cat <&3 || echo "no: $place"; done 2>/dev/null
"""
    places = [f"db.internal/{named}", f"127.0.0.1/{literal}", f"127.0.0.1/{other}", f"127.0.0.1/{named}"]
    command = Command(("bash", "-c", script, "try", *places), PurePosixPath("/"), ENV)
    async with service(named), service(literal), service(other):
        async with open_doors(grants, "r", tmp_path, log.append, ask) as endpoint:
            code, out, _ = await run(command, (), endpoint)
        async with open_doors([], "r", tmp_path, log.append) as endpoint:
            _, nothing, _ = await run(command, (), endpoint)
    assert out.decode().splitlines() == [
        "hello from the host",
        "hello from the host",
        f"no: 127.0.0.1/{other}",
        f"no: 127.0.0.1/{named}",
    ]
    assert code == 0
    assert nothing.decode().splitlines() == [f"no: {place}" for place in places]
    assert [(c.host, c.port, c.bytes_in, c.refused) for c in log] == [
        ("db.internal", named, 20, None),
        ("127.0.0.1", literal, 20, None),
    ]


@asynccontextmanager
async def scripted_model() -> AsyncIterator[str]:
    script = [sys.executable, str(ROOT / "scripts/scripted_model.py")]
    async with await anyio.open_process(script, stdin=DEVNULL, stdout=PIPE, stderr=None) as process:
        try:
            assert process.stdout is not None
            said = (await process.stdout.receive()).decode()
            yield "http://" + said.partition("http://")[2].split()[0].rstrip("/")
        finally:
            process.kill()


async def test_claude_code_reaches_its_model_through_its_door_and_nothing_else(tmp_path: Path) -> None:
    log: list[Connection] = []
    volume, private, sockets = tmp_path / "volume", tmp_path / "private", tmp_path / "s"
    for folder in (volume, private, sockets):
        folder.mkdir()
    secret_port = free_port()
    async with scripted_model() as url, service(secret_port):
        try:
            agent = ClaudeCode.find(base_url=url)
        except HutchError as error:
            pytest.skip(error.message)
        shell = f"(exec 3<>/dev/tcp/127.0.0.1/{secret_port}) 2>&1 | tail -c 19 > tried; id -u >> tried"
        script = json.dumps([{"shell": shell}, {"text": "It cannot."}])
        turn = AgentTurn(f"Try. SCRIPT: {script}", new_session_id(), resumes=False, instructions="Be brief.")
        start = agent.command(turn)
        give(private, start.given)
        mounts = (
            Mount(volume, WORKSPACE, writable=True),
            *(Mount(binding.source, binding.target) for binding in start.bindings),
            Mount(private, GIVEN),
        )
        grants = [parse_grant(host, is_host_service=True) for host in start.hosts]
        async with open_doors(grants, "r", sockets, log.append) as endpoint:
            env = {**ENV, **start.env, start.secrets[0]: "any"}
            code, out, err = await run(Command(start.argv, WORKSPACE, env), mounts, endpoint, start.stdin)
    reading = agent.reading()
    reading.feed(out)
    outcome = reading.finish(exit_code=code, stderr=err.decode())
    assert (outcome.ending, outcome.text, outcome.error) == (Ending.DONE, "It cannot.", "")
    assert outcome.usage == Usage(2000, 100, 0, 0, outcome.usage.cost_usd)
    assert (volume / "tried").read_text() == "Connection refused\n1000\n"
    assert log
    assert {(c.host, str(c.port), c.refused) for c in log} == {("127.0.0.1", url.rpartition(":")[2], None)}
    assert agent.sessions(volume) == (turn.session_id,)
