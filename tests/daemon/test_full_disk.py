"""A daemon whose disk is full: it makes room for itself where it may, and else says what is wrong."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, VolumeName, Volumes
from support.daemon import daemon
from support.small_disk import fill, small_disk

pytestmark = pytest.mark.slow


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
