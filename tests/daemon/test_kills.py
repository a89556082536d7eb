"""Whole daemons that are killed at any instant, and several that want one volume at the same time."""

import base64
import shutil
import signal
from pathlib import Path
from random import Random

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.bounds import chance, limit_s, times
from support.daemon import Daemon, daemon, run

pytestmark = pytest.mark.slow
_LONG_S = 60
# One line after the other, and beside it a file that is replaced whole
WRITER = """
n=$(wc -l < /data/journal 2>/dev/null || echo 0)
while true; do
  n=$((n+1)); echo line $n >> /data/journal
  echo $n > /data/new; for i in 1 2 3 4 5; do echo $n >> /data/new; done; mv /data/new /data/counter
  echo $n; sleep 0.01
done
"""


async def stored(client: Client, path: str) -> bytes:
    answer = await client.read_volume(ReadVolumeRequest(volume="web", path=path, limit=1 << 20))
    return base64.b64decode(answer.data_base64 or "")


def whole(journal: bytes) -> int:
    """How many lines it has; fails where one is missing or torn."""
    count = journal.count(b"\n")
    assert journal == b"".join(b"line %d\n" % number for number in range(1, count + 1))
    return count


@pytest.mark.timeout(limit_s(240, long=1200))
async def test_a_daemon_that_is_killed_while_a_sandbox_writes_loses_nothing(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(kill_again_and_again, tmp_path / str(number), times(5, long=50))


async def kill_again_and_again(folder: Path, often: int) -> None:
    rng = chance(f"daemon {folder.name}")
    async with daemon(folder) as made:
        for _ in range(often):
            await kill_one(made, rng)
        async with made.client() as client:
            assert [info.name for info in await client.list_volumes()] == ["web"]
            assert (await client.check_volume("web")).problems == []


async def kill_one(made: Daemon, rng: Random) -> None:
    """Kill it while it works, half of the time with its cache, and see what its successor finds."""
    async with made.client() as client:
        record = await writing(client)
        await anyio.sleep(rng.random() * 1.5)  # the instant is what is tested
        safe = whole(await stored(client, "/journal")) if await has_snapshot(client) else 0
        folder = made.config.daemon.cache / "volumes/default/web/tree"
        in_folder = (folder / "journal").read_bytes().count(b"\n")
    await made.end(signal.SIGKILL)
    is_lost = rng.random() < 0.5
    if is_lost:
        remove(made.config.daemon.cache / "volumes")
    await made.start()
    async with made.client() as client:
        assert (await client.get_run(record.run_id)).status == "lost"
        count = whole(await stored(client, "/journal")) if await has_snapshot(client) else 0
        assert count >= (safe if is_lost else in_folder)
        if count > 1:  # the first is there before its counter
            lines = (await stored(client, "/counter")).split()
            assert len(lines) == 6
            assert len(set(lines)) == 1


async def writing(client: Client) -> RunRecord:
    """A run that writes already."""
    record = await client.run(RunRequest.model_validate({"command": WRITER, "volumes": ["web:/data"]}), 0)
    with anyio.fail_after(_LONG_S):
        while not (record := await client.get_run(record.run_id)).stdout_bytes:
            assert not record.is_ended, record.reason
            await anyio.sleep(0.01)
    return record


async def has_snapshot(client: Client) -> bool:
    return any(info.snapshot for info in await client.list_volumes())


def remove(folder: Path) -> None:
    """Also while a sandbox that outlived its daemon for a moment still writes in it."""
    aside = folder.with_name("lost")
    folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


@pytest.mark.timeout(limit_s(240, long=1200))
async def test_of_two_daemons_exactly_one_at_a_time_has_a_volume(tmp_path: Path) -> None:
    rounds, store = times(15, long=200), f'\n[storage]\nurl = "file://{tmp_path}/store"\n'
    written: list[str] = []
    async with (
        daemon(tmp_path / "one", store) as one,
        daemon(tmp_path / "two", store) as two,
        one.client() as here,
        two.client() as there,
    ):

        async def attempt(client: Client, word: str) -> None:
            try:
                done = await run(client, f"echo {word} >> /data/words", volumes=["web:/data"])
            except ServiceError as error:
                assert error.code == "volume_held"  # noqa: PT017 - the only way to be refused
                return
            assert (done.status, done.exit_code, done.unsynced) == ("exited", 0, {})
            written.append(word)

        for number in range(rounds):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(attempt, here, f"one-{number}")
                tasks.start_soon(attempt, there, f"two-{number}")
            assert any(word.endswith(f"-{number}") for word in written)
        words = (await stored(there, "/words")).decode().split()
        assert words == written
        assert [info.name for info in await here.list_volumes()] == ["web"]
        assert (await here.check_volume("web")).problems == []
