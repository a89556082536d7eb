"""A volume that someone else writes: refused at once, or waited for, as the caller wishes."""

import signal
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch.volumes import DirectoryStore, VolumeName, Volumes
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon, run
from support.streams import LONG_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def start(client: Client, command: str, **values: object) -> RunRecord:
    wanted = {"command": command, "volumes": ["web:/data"], **values}
    return await client.run(RunRequest.model_validate(wanted), 0)


async def at_work(client: Client, record: RunRecord) -> None:
    with anyio.fail_after(LONG_S):
        while (record := await client.get_run(record.run_id)).status == "starting":
            await anyio.sleep(0.02)
    assert record.status == "running"


async def take_over(made: Daemon, volume: str) -> None:
    """As another host does when it has waited long enough for one that sleeps."""
    assert made.process is not None
    made.process.send_signal(signal.SIGSTOP)
    volumes = Volumes(DirectoryStore(made.folder / "state/store"), made.folder / "elsewhere", lease_ttl_s=2)
    async with volumes.lease(VolumeName.parse(volume), "other", wait_s=100):
        pass
    made.process.send_signal(signal.SIGCONT)


async def test_a_held_volume_names_its_holder_and_can_be_waited_for(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        holder = await start(client, "until test -e /data/go; do sleep 0.05; done; echo first > /data/said")
        await at_work(client, holder)
        with pytest.raises(ServiceError, match=holder.run_id) as refused:
            await run(client, "true", volumes=["web:/data"])
        assert refused.value.code == "volume_held"

        waiting = await start(client, "cat /data/said", volume_wait_s=60)
        await anyio.sleep(0.3)
        assert (await client.get_run(waiting.run_id)).status == "starting"
        folder = made.folder / "cache/volumes/default/web/tree"
        (folder / "go").write_text("")
        ended = await client.get_run(waiting.run_id, 45)
        assert (ended.status, ended.exit_code, ended.stdout_bytes) == ("exited", 0, 6)


async def test_who_waits_can_be_stopped_and_waits_no_longer_than_it_said(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        holder = await start(client, "sleep 600")
        await at_work(client, holder)
        waiting = await start(client, "true", volume_wait_s=600)
        stopped = await client.stop_run(waiting.run_id, 0)
        assert (stopped.status, stopped.reason) == ("cancelled", "stopped on request")
        with pytest.raises(ServiceError, match=holder.run_id):
            await run(client, "true", volumes=["web:/data"], volume_wait_s=1)
        await client.stop_run(holder.run_id, 0)


async def test_a_volume_that_was_taken_over_keeps_none_of_the_others_from_being_committed(
    tmp_path: Path,
) -> None:
    async with daemon(tmp_path / "d", "[storage]\nlease_s = 2\n") as made, made.client() as client:
        both = ["aa:/aa", "bb:/bb"]
        command = "echo 1 > /aa/f; until test -e /bb/go; do sleep 0.05; done"
        work = await start(client, command, volumes=both)
        await at_work(client, work)
        await take_over(made, "aa")
        (made.folder / "cache/volumes/default/bb/tree/go").touch()
        ended = await client.get_run(work.run_id, 45)
        assert ended.status == "failed"
        assert "lease_lost" in ended.reason
        assert "aa@conflict" in ended.reason
        volumes = {each.name: each for each in await client.list_volumes()}
        assert volumes["bb"].files == 1
        assert any(name.startswith("aa@conflict") for name in volumes)


async def test_a_run_that_cannot_have_one_of_its_forks_makes_none(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await run(client, "echo 1 > /data/f", volumes=["web:/data"])
        for wrong in ("try-b=web@77:/b", "try-b=nothing:/b", "web@77:/b:ro"):
            with pytest.raises(ServiceError) as refused:
                await run(client, "true", volumes=["try-a=web:/a", wrong])
            assert refused.value.code in ("snapshot_unknown", "volume_unknown")
        assert [each.name for each in await client.list_volumes()] == ["web"]
        both = ["try-a=web:/a", "try-b=web@1:/b"]
        assert (await run(client, "cat /a/f /b/f", volumes=both)).stdout_bytes == 4
