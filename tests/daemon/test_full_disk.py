"""A daemon whose disk is full: it makes room for itself where it may, and else says what is wrong."""

import base64
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch.volumes import DirectoryStore, VolumeName, Volumes
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.daemon import daemon, run
from support.small_disk import fill, small_disk
from support.streams import LONG_S

pytestmark = pytest.mark.slow

_WAITS = "until test -e /data/go; do sleep 0.02; done; echo 2 > /data/a"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """It has the state and the cache of the daemon in `d`."""
    with small_disk(tmp_path / "disk", "24m") as place:
        (tmp_path / "d").mkdir()
        for name in ("state", "cache"):
            (place / name).mkdir(mode=0o700)
            (tmp_path / "d" / name).symlink_to(place / name)
        yield place


async def test_a_cached_volume_makes_way_for_the_daemon(disk: Path, tmp_path: Path) -> None:
    volumes = Volumes(DirectoryStore(disk / "state/store"), disk / "cache/volumes")
    async with volumes.lease(VolumeName.parse("web"), "run", create=True) as lease:
        ((await volumes.check_out(lease)) / "a").write_bytes(os.urandom(6_000_000))
        await volumes.commit(lease, "run")
    fill(disk)
    async with daemon(tmp_path / "d") as running, running.client() as client:
        document = await client.doctor()
        assert document["cache"]["used_bytes"] == 0
        assert document["storage"]["volumes"] == 1


async def test_where_nothing_can_make_way_the_daemon_says_so(disk: Path, tmp_path: Path) -> None:
    fill(disk)
    with pytest.raises(AssertionError, match="state_failed: the state database could not be used"):
        async with daemon(tmp_path / "d"):
            pass


async def test_a_state_folder_that_fills_while_a_run_works_loses_nothing(tmp_path: Path) -> None:
    """The volume and its store are elsewhere: what the run wrote is safe, and the daemon lives on."""
    (tmp_path / "d").mkdir()
    store = f'\n[storage]\nurl = "file://{tmp_path}/store"\n'
    with small_disk(tmp_path / "disk", "24m") as disk:
        (disk / "state").mkdir(mode=0o700)
        (tmp_path / "d/state").symlink_to(disk / "state")
        async with daemon(tmp_path / "d", store) as running, running.client() as client:
            working = await client.run(
                RunRequest.model_validate({"command": _WAITS, "volumes": ["web:/data"]}), 0
            )
            folder = running.config.daemon.cache / "volumes/default/web/tree"
            with anyio.fail_after(LONG_S):
                while (await client.get_run(working.run_id)).status != "running":
                    await anyio.sleep(0.02)
            filler = fill(disk)
            (folder / "go").touch()
            ended = await client.get_run(working.run_id, 45)
            assert ended.is_ended
            assert await content(client, "a") == b"2\n"
            with pytest.raises(ServiceError) as refused:
                await run(client, "echo 3 > /data/a", volumes=["web:/data"])
            assert refused.value.code == "state_failed"
            filler.unlink()
            await stored(running.config.daemon.state, working.run_id)
            third = await run(client, "echo 4 > /data/a", volumes=["web:/data"])
            assert (third.status, third.exit_code) == ("exited", 0)
            assert await content(client, "a") == b"4\n"
        async with daemon(tmp_path / "d", store) as running, running.client() as client:
            assert (await client.get_run(working.run_id)).exit_code == 0
            assert (await client.check_volume("web")).problems == []


async def stored(state: Path, run_id: str) -> None:
    """Wait until the record says that it has ended, to whoever asks next."""
    with anyio.fail_after(LONG_S), closing(sqlite3.connect(state / "state.db")) as db:
        while db.execute("SELECT status FROM runs WHERE id = ?", [run_id]).fetchone() != ("exited",):
            await anyio.sleep(0.1)


async def content(client: Client, path: str) -> bytes:
    answer = await client.read_volume(ReadVolumeRequest(volume="web", path=path))
    return base64.b64decode(answer.data_base64 or "")
