"""A volume that may hold so much and no more: a run that goes beyond ends, and its work is kept apart."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.volume_records import VolumeDetails
from support.daemon import Daemon, daemon, run
from support.streams import LONG_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
_BOUND = '[volumes]\nmax_bytes = "1MB"\n'
_GROW = "head -c 700000 /dev/urandom > a; {go}; head -c 700000 /dev/urandom >> a; sleep 600"
_GO = "until [ -e go ]; do sleep 0.05; done"


async def go_on_once(
    made: Daemon, client: Client, begun: RunRecord, volume: str, holds: Callable[[VolumeDetails], bool]
) -> RunRecord:
    """Let a run go on when the store has so much of its volume, and return its end."""
    with anyio.fail_after(LONG_S):
        while volume not in {each.name for each in await client.list_volumes()}:
            await anyio.sleep(0.05)
        while not holds(await client.volume_stat(volume)):
            await anyio.sleep(0.05)
    (made.config.daemon.cache / "volumes/default" / volume / "tree/go").touch()
    while not begun.is_ended:
        begun = await client.get_run(begun.run_id, LONG_S)
    return begun


async def test_a_run_that_goes_beyond_is_ended_and_so_is_one_in_what_it_left(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", _BOUND) as made, made.client() as client:
        begun = await client.run(RunRequest(command=_GROW.format(go=_GO), volumes=["small"]), 0)
        first = await go_on_once(made, client, begun, "small", lambda told: told.volume.bytes == 700_000)
        assert first.status == "disk_full"  # it would have slept for ten minutes
        assert "may hold 1000000 bytes" in first.reason
        volumes = {each.name: each.bytes for each in await client.list_volumes()}
        assert volumes.pop("small") == 700_000
        ((conflict, kept),) = volumes.items()
        assert conflict in first.reason
        assert kept == 1_400_000

        again = await run(client, "head -c 300000 /dev/urandom > b; sleep 60", volumes=[conflict])
        assert "may hold 1000000 bytes" in again.reason
        assert {e.name: e.bytes for e in await client.list_volumes()}[conflict] == kept
        less = await run(client, "rm a", volumes=[conflict])
        assert (less.status, less.exit_code) == ("exited", 0)


async def test_a_run_that_rewrites_a_file_again_and_again_keeps_its_history_within_the_bound(
    tmp_path: Path,
) -> None:
    bound = '[volumes]\nmax_history_bytes = "1MB"\n'
    rewrite = "until [ -e go ]; do head -c 300000 /dev/urandom > f; sleep 0.2; done"
    async with daemon(tmp_path / "d", bound) as made, made.client() as client:
        asked = RunRequest(command=rewrite, volumes=["web:/data"], cwd="/data")
        begun = await client.run(asked, 0)
        record = await go_on_once(
            made, client, begun, "web", lambda told: told.snapshots < told.volume.snapshot
        )
        assert (record.status, record.exit_code) == ("exited", 0)
        told = await client.volume_stat("web")
        assert (told.max_history_bytes, told.history_bytes < 1_700_000) == (1_000_000, True)
        assert told.snapshots < record.snapshots["web"]  # something had to go
        assert (await client.check_volume("web")).problems == []
        again = "head -c 300000 /dev/urandom > /data/f"
        # What ended runs left stays, and then nothing more is taken
        *_, last = [await run(client, again, volumes=["web:/data"]) for _ in range(6)]
        assert (last.status, last.snapshots) == ("disk_full", {})
        assert "the history of volume 'web' may take 1000000 bytes" in last.reason
        assert "web@conflict-" in last.reason
