"""A host is lost with everything on it: another one, which has only the store, goes on."""

import base64
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.ceph import S3Server
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model, turn
from support.daemon_stores import s3_config

pytestmark = pytest.mark.slow
# A machine of its own as far as leases go: no process in there can be looked for from outside, and all of
# them die with the first.
_MACHINE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL")
_LEASE_S = 3  # of the lost host
_LONG_S = 90

WRITE = 'Make a note. SCRIPT: [{"write": "/workspace/note.txt", "content": "first\\n"}, {"text": "Noted."}]'
HANG = 'Work long. SCRIPT: [{"shell": "echo begun > /workspace/begun; sleep 500"}, {"text": "x"}]'
RECALL = 'What was it? SCRIPT: [{"shell": "cat /workspace/note.txt"}, {"text": "You asked for a note."}]'
JOURNAL = "n=0; while true; do n=$((n+1)); echo line $n >> /data/journal; sleep 0.02; done"
KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}


@pytest.fixture
def machine() -> tuple[str, ...]:
    tried = subprocess.run([*_MACHINE, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no processes of their own for a host, which takes root: {tried.stderr.strip()}")
    return (*_MACHINE, sys.executable)


@asynccontextmanager
async def two_hosts(
    machine: tuple[str, ...], folder: Path, config: str
) -> AsyncGenerator[tuple[Daemon, Daemon]]:
    async with (
        daemon(folder / "a", config, env=KEY, starter=machine) as lost,
        daemon(folder / "b", config, env=KEY) as heir,
    ):
        yield lost, heir


async def lose(host: Daemon) -> None:
    """Its processes at once, then everything that it had on its disk."""
    await host.end(signal.SIGKILL)
    for name in ("cache", "state"):
        shutil.rmtree(host.folder / name)


async def read(client: Client, volume: str, path: str) -> bytes:
    """A file as it is in the store; nothing where there is none yet."""
    try:
        answer = await client.read_volume(ReadVolumeRequest(volume=volume, path=path))
    except ServiceError:
        return b""
    return base64.b64decode(answer.data_base64 or "")


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(_LONG_S):
        while not await holds():
            await anyio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_another_host_goes_on_with_the_volume_and_the_conversation(
    s3_server: S3Server, machine: tuple[str, ...], tmp_path: Path
) -> None:
    async with scripted_model() as url:
        config = s3_config(s3_server, tmp_path) + f"lease_s = {_LEASE_S}\n" + model_config(url)
        async with two_hosts(machine, tmp_path, config) as (lost, heir), heir.client() as there:
            async with lost.client() as here:
                first = await turn(here, WRITE, "work")
                assert first.status == "idle"
                await here.start_agent(AgentRequest(agent="claude", prompt=HANG, volume="work"), 0)
                writing = RunRequest.model_validate({"command": JOURNAL, "volumes": ["web:/data"]})
                await here.run(writing, 0)
                await until(lambda: is_there(there, "work", "/begun", b"begun\n"))
                await until(lambda: is_there(there, "web", "/journal", b"line 100\n"))
                with pytest.raises(ServiceError) as held:
                    await run(there, "true", volumes=["web:/data"])
                assert held.value.code == "volume_held"
                acknowledged = await read(there, "web", "/journal")
            await lose(lost)

            after = await run(there, "cat /data/journal", volumes=["web:/data"], volume_wait_s=_LONG_S)
            journal = (await output(there, after))[0].encode()
            assert journal.startswith(acknowledged)
            count = journal.count(b"\n")
            assert journal == b"".join(b"line %d\n" % number for number in range(1, count + 1))

            second = await turn(there, RECALL, "work", volume_wait_s=_LONG_S)
            assert (second.status, second.last_message) == ("idle", "You asked for a note.")
            assert second.agent_session_id == first.agent_session_id
            both = await run(there, "cat note.txt begun", volumes=["work"])
            assert (await output(there, both))[0] == "first\nbegun\n"
            for name in ("web", "work"):
                assert (await there.check_volume(name)).problems == []
            assert sorted(info.name for info in await there.list_volumes()) == ["web", "work"]


async def is_there(client: Client, volume: str, path: str, content: bytes) -> bool:
    return content in await read(client, volume, path)
