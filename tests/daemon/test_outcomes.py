"""Which limit ended a run: told apart by evidence, with a plain reason, through a real daemon."""

from collections.abc import AsyncGenerator

import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from support.daemon import Daemon, daemon

pytestmark = pytest.mark.real("bubblewrap")

FORKS = "import os, signal\nwhile True:\n  if os.fork() == 0: signal.pause()"
LIMITS = """
[policy.limits]
disk = "8MiB"
memory = "256MiB"
pids = 64
"""


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("outcomes"), LIMITS) as running:
        yield running


@pytest.fixture
async def client(house: Daemon) -> AsyncGenerator[Client]:
    async with house.client() as connected:
        yield connected


async def end(client: Client, request: RunRequest) -> RunRecord:
    record = await client.run(request, 45)
    assert record.is_ended
    return record


async def test_memory_names_its_limit(client: Client) -> None:
    record = await end(client, RunRequest(command=["python3", "-c", "x = b'x' * (1 << 30)"]))
    if record.status == "oom":  # with control groups; else the program is refused, and says so itself
        assert record.reason.startswith("memory limit of 256 MiB (cgroup v")
    assert record.exit_code != 0


async def test_a_full_private_folder_is_a_full_disk(client: Client) -> None:
    fill = "read -r go; cat /dev/zero > /tmp/x"  # by then it is held from outside, see 0005
    record = await end(client, RunRequest(command=fill, stdin=b"go\n"))
    assert (record.status, record.exit_code) == ("disk_full", 1)
    assert "/tmp" in record.reason
    assert "8 MiB (tmpfs sizes)" in record.reason
    asked = await end(client, RunRequest(command="head -c 6M /dev/zero > /tmp/x", disk_bytes=32 << 20))
    assert (asked.status, asked.exit_code) == ("exited", 0)


async def test_too_much_output_ends_a_run(client: Client) -> None:
    record = await end(client, RunRequest(command="yes; true", output_bytes=100_000))
    assert (record.status, record.reason) == ("output_limit", "output limit of 100000 bytes")
    assert 100_000 <= record.stdout_bytes < 10_000_000


async def test_open_files_can_be_asked_for(client: Client) -> None:
    record = await end(client, RunRequest(command="test $(ulimit -n) = 100", open_files=100))
    assert (record.status, record.exit_code) == ("exited", 0)
    assert record.policy["granted"]["limits"]["open_files"] == 100  # type: ignore[index]


async def test_the_deadline_is_told_from_the_limits(client: Client) -> None:
    record = await end(client, RunRequest(command="sleep 60", timeout_s=0.5))
    assert (record.status, record.reason) == ("timed_out", "wall time limit of 0.5 s")


async def test_limits_hold_for_each_command_of_a_kept_sandbox(client: Client) -> None:
    full = await end(client, RunRequest(command="cat /dev/zero > /tmp/x", session_id="new"))
    assert full.status == "disk_full"
    flood = await end(client, RunRequest(command="yes", session_id=full.session_id, output_bytes=50_000))
    assert flood.status == "output_limit"
    freed = await end(client, RunRequest(command="rm /tmp/x; exit 4", session_id=full.session_id))
    assert (freed.status, freed.exit_code) == ("exited", 4)
    await client.stop_session(full.session_id or "")


async def test_a_bomb_of_processes_names_its_limit(client: Client) -> None:
    record = await end(client, RunRequest(command=["python3", "-c", FORKS], pids=20))
    assert record.exit_code == 1
    if "cgroup" in str(record.policy["enforced"]):
        assert record.status == "pids"
        assert record.reason.startswith("limit of 20 processes and threads (")
