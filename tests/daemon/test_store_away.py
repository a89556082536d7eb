"""A store that takes nothing while a run works, and after it: the run ends, and nothing it wrote is lost."""

import base64
import signal
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.away import away
from support.daemon import Daemon, daemon, run
from support.streams import LONG_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
_WORK = "echo begun; until [ -e /data/go ]; do sleep 0.05; done; echo kept > /data/late"


async def synced(client: Client, run_id: str) -> RunRecord:
    """The run's record, once the store has everything."""
    with anyio.fail_after(90):
        while (record := await client.get_run(run_id)).unsynced:
            await anyio.sleep(0.1)
        return record


async def content(client: Client, volume: str, path: str) -> bytes:
    answer = await client.read_volume(ReadVolumeRequest(volume=volume, path=path))
    assert answer.data_base64 is not None
    return base64.b64decode(answer.data_base64)


async def begun(client: Client, **values: object) -> RunRecord:
    """A run that is at work, in a volume that has a snapshot already."""
    await run(client, "echo base > /data/base", volumes=["web:/data"])
    wanted = RunRequest.model_validate({"command": _WORK, "volumes": ["web:/data"], **values})
    record = await client.run(wanted, 0)
    with anyio.fail_after(LONG_S):
        while not (await client.get_run(record.run_id)).stdout_bytes:
            await anyio.sleep(0.01)
    return record


def go_on(made: Daemon) -> None:
    """Let what has begun write its last."""
    (made.folder / "cache/volumes/default/web/tree/go").touch()


async def test_a_run_ends_its_volume_stays_held_and_is_stored_when_the_store_is_back(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        record = await begun(client)
        with away(made, "web"):
            go_on(made)
            ended = await client.get_run(record.run_id, 45)
            assert (ended.status, ended.exit_code) == ("exited", 0)
            assert list(ended.unsynced) == ["web"]
            with pytest.raises(ServiceError, match="is held by"):
                await run(client, "true", volumes=["web:/data"])
        ended = await synced(client, record.run_id)
        assert ended.snapshots["web"] >= 2
        assert "A late" in ended.changed["web"]
        assert await content(client, "web", "late") == b"kept\n"
        assert (await run(client, "cat /data/late", volumes=["web:/data"])).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_waits_for_the_store_outlives_the_daemon(tmp_path: Path, number: signal.Signals) -> None:
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            record = await begun(client)
            with away(made, "web"):
                go_on(made)
                ended = await client.get_run(record.run_id, 45)
                assert ended.unsynced
                await made.restart(number)
                async with made.client() as again:
                    assert (await again.get_run(record.run_id)).unsynced
        async with made.client() as client:
            await synced(client, record.run_id)
            assert await content(client, "web", "late") == b"kept\n"


async def test_a_kept_sandbox_is_ended_while_the_store_is_away(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        record = await begun(client, session_id="new")
        assert record.session_id is not None
        with away(made, "web"):
            go_on(made)
            ended = await client.get_run(record.run_id, 45)
            assert ended.unsynced
            session = await client.stop_session(record.session_id)
            assert session.status == "ended"
            assert "web" in (session.error or "")
        await synced(client, record.run_id)
        assert await content(client, "web", "late") == b"kept\n"
