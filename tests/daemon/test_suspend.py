"""Suspended and resumed: nothing of it runs meanwhile, nor its time; stop and a dead daemon end it."""

import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_launchers import proc
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.reaping import MARK
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon
from support.growing import grows, has_said, stands_still
from support.streams import LONG_S, until

pytestmark = [
    pytest.mark.real("bubblewrap"),
    pytest.mark.skipif(find_hierarchy() is None, reason="no control groups, and so no freezer"),
]

COUNT = "while true; do echo x; sleep 0.02; done"


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path_factory.mktemp("suspend")) as running:
        yield running


@pytest.fixture
async def client(house: Daemon) -> AsyncGenerator[Client]:
    async with house.client() as connected:
        yield connected


async def begun(client: Client, **more: object) -> RunRecord:
    record = await client.run(RunRequest.model_validate({"command": COUNT, **more}), 0)
    return await has_said(client, record.run_id)


async def test_a_suspended_run_stands_still_and_so_does_its_time(client: Client) -> None:
    began = time.monotonic()
    run = await begun(client, timeout_s=5)
    suspended = await client.suspend_run(run.run_id)
    assert suspended.status == "suspended"
    assert not suspended.is_ended
    await stands_still(client, run.run_id)
    assert [each.status for each in await client.list_runs(live=True)] == ["suspended"]
    await anyio.sleep(max(began + 5.5 - time.monotonic(), 0))  # beyond its deadline
    assert (await client.get_run(run.run_id)).status == "suspended"
    assert (await client.suspend_run(run.run_id, suspended=False)).status == "running"
    ended = await client.get_run(run.run_id, LONG_S)
    assert (ended.status, ended.reason) == ("timed_out", "wall time limit of 5 s")


async def test_a_suspended_run_can_be_stopped(client: Client) -> None:
    run = await begun(client)
    await client.suspend_run(run.run_id)
    with anyio.fail_after(LONG_S):
        assert (await client.stop_run(run.run_id, 1)).status == "cancelled"
    with pytest.raises(ServiceError) as refused:
        await client.suspend_run(run.run_id)
    assert refused.value.code == "run_ended"


async def test_a_kept_sandbox_is_suspended_with_all_that_runs_in_it(client: Client) -> None:
    run = await begun(client, session_id="new", timeout_s=60)
    session_id = run.session_id or ""
    with pytest.raises(ServiceError) as refused:
        await client.suspend_run(run.run_id)
    assert refused.value.code == "session_invalid"
    assert (await client.suspend_session(session_id)).status == "suspended"
    await stands_still(client, run.run_id)
    with pytest.raises(ServiceError) as waiting:
        await client.run(RunRequest(command="id", session_id=session_id), 45)
    assert waiting.value.code == "session_suspended"
    assert (await client.suspend_session(session_id, suspended=False)).status == "running"
    await grows(client, run.run_id)
    await client.suspend_session(session_id)
    with anyio.fail_after(LONG_S):
        assert (await client.stop_session(session_id)).status == "ended"


async def test_a_daemon_that_stops_or_dies_leaves_nothing_suspended(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        for number in (signal.SIGTERM, signal.SIGKILL):
            async with made.client() as client:
                run = await begun(client)
                kept = await begun(client, session_id="new")
                await client.suspend_run(run.run_id)
                await client.suspend_session(kept.session_id or "")
            await made.end(number)
            for name in (run.run_id, kept.session_id):  # without a successor, too
                await until(lambda mark=f"{MARK}={name}": not list(proc.pids_with_environment(mark)))  # type: ignore[misc]
            await made.start()
            async with made.client() as client:
                assert (await client.get_run(run.run_id)).status in ("cancelled", "lost")
