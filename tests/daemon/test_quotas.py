"""A volume that may hold so much and no more: a run that goes beyond ends, and its work is kept apart."""

from pathlib import Path

import pytest

from support.daemon import daemon, run

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
_BOUND = '[volumes]\nmax_bytes = "1MB"\n'
_GROW = "head -c 700000 /dev/urandom > {name}; sleep 1; head -c 700000 /dev/urandom >> {name}; sleep 60"


async def test_a_run_that_goes_beyond_is_ended_and_so_is_one_in_what_it_left(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", _BOUND) as made, made.client() as client:
        first = await run(client, _GROW.format(name="a"), volumes=["small"])
        assert first.status == "disk_full"
        assert first.duration_s is not None
        assert first.duration_s < 40  # it would have slept for a minute
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
    rewrite = "for n in 1 2 3 4 5 6 7 8 9 10; do head -c 300000 /dev/urandom > /data/f; sleep 0.4; done"
    async with daemon(tmp_path / "d", bound) as made, made.client() as client:
        record = await run(client, rewrite, volumes=["web:/data"])
        assert (record.status, record.exit_code) == ("exited", 0)
        told = await client.volume_stat("web")
        assert (told.max_history_bytes, told.history_bytes < 1_700_000) == (1_000_000, True)
        assert record.snapshots["web"] > 4  # it was streamed, so something had to go
        assert told.snapshots < record.snapshots["web"]
        assert (await client.check_volume("web")).problems == []
        again = "head -c 300000 /dev/urandom > /data/f"
        # What ended runs left stays, and then nothing more is taken
        *_, last = [await run(client, again, volumes=["web:/data"]) for _ in range(6)]
        assert (last.status, last.snapshots) == ("disk_full", {})
        assert "the history of volume 'web' may take 1000000 bytes" in last.reason
        assert "web@conflict-" in last.reason
