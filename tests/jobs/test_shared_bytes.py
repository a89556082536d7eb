"""A budget in bytes that runs share holds for those that outlive their daemon, also while it is away."""

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from hutch.egress.sockets import CHUNK
from hutch.jobs import JobFolder
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon

pytestmark = pytest.mark.slow

_LONG_S = 90
_BYTES = 3_000_000
# Says a word, waits for a file if one is named, pours, and waits until all of it was taken
POUR = """
import os, socket, sys, time
port, count, gate = sys.argv[1:]
server = socket.create_connection(("127.0.0.1", int(port)))
server.sendall(b"x")
while gate and not os.path.exists(gate):
    time.sleep(0.05)
server.sendall(bytes(int(count)))
server.shutdown(socket.SHUT_WR)
server.recv(1)
"""


@dataclass
class Sink:
    """A server on loopback that takes everything, and counts it."""

    port: int = 0
    count: int = 0

    async def take(self, stream: SocketStream) -> None:
        async with stream:
            async for data in stream:
                self.count += len(data)

    async def has(self, count: int) -> None:
        with anyio.fail_after(_LONG_S):
            while self.count < count:
                await anyio.sleep(0.01)


@asynccontextmanager
async def sink() -> AsyncGenerator[Sink]:
    made = Sink()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        made.port = int(listener.extra(anyio.abc.SocketAttribute.local_port))
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, made.take)
            yield made
            group.cancel_scope.cancel()


def config(made: Sink, egress: str) -> str:
    return (
        f'[policy]\nnetworks = ["near"]\n[network.near]\nhost_services = ["127.0.0.1:{made.port}"]\n'
        f'[budgets.bytes]\nper = "principal"\negress = {json.dumps(egress)}\n'
    )


def pouring(made: Sink, count: int = _BYTES, gate: str = "") -> dict[str, object]:
    command = ["python3", "-c", POUR, str(made.port), str(count), gate]
    return {"command": command, "network": "near", "volumes": ["work"], "timeout_s": 120}


async def begin(made: Daemon, asked: dict[str, object]) -> RunRecord:
    async with made.client() as client:
        return await client.run(RunRequest.model_validate({**asked, "detach": True}), 0)


async def test_nothing_passes_that_is_not_lent_and_the_next_daemon_lends_on(tmp_path: Path) -> None:
    async with sink() as taken, daemon(tmp_path / "d", config(taken, "16MB")) as made:
        record = await begin(made, pouring(taken, gate="/workspace/gate"))
        await taken.has(1)
        folder = JobFolder.of(made.config.daemon.state, record.run_id)
        lent = folder.lent
        assert 0 < lent < _BYTES // 2
        await made.end(signal.SIGKILL)
        (made.config.daemon.cache / "volumes/default/work/tree/gate").touch()
        await taken.has(lent)
        assert taken.count <= lent + CHUNK
        await made.start()
        async with made.client() as client:
            ended = await client.get_run(record.run_id, _LONG_S)
            assert (ended.status, ended.exit_code) == ("exited", 0)
            assert taken.count == _BYTES + 1


async def test_one_that_uses_it_up_ends_and_the_next_is_refused(tmp_path: Path) -> None:
    async with sink() as taken, daemon(tmp_path / "d", config(taken, "200KB")) as made:
        poured = await begin(made, pouring(taken))
        async with made.client() as client:
            record = await client.get_run(poured.run_id, _LONG_S)
            assert record.status == "budget"
            assert record.reason.startswith("budget 'bytes' (per principal) is spent: ")
            assert taken.count <= 200_000 + CHUNK
            with pytest.raises(ServiceError) as refused:
                await client.run(RunRequest.model_validate(pouring(taken, 10)), 45)
            assert refused.value.code == "budget_spent"
