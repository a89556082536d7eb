"""A volume with a history, and what is left of it."""

import random

import pytest

from hutch.errors import HutchError
from hutch.volumes import RetentionRules, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, Tree, run_on, tree_of

COPY = VolumeName.parse("copy")
LAST_TWO = RetentionRules(keep_all_s=3600, keep_last=2, hourly=0, daily=0, weekly=0, monthly=0)
DAY_S = 86_400.0


def content(number: int) -> bytes:
    """Too much to lie inline in an entry, and different each time."""
    return random.Random(number).randbytes(150_000)


async def grow(volumes: Volumes, clock: HandClock, numbers: range, name: VolumeName = WEB) -> None:
    """One snapshot for each number, an hour apart: its file in a pack, and a note inline."""
    for number in numbers:
        async with run_on(volumes, f"run {number}", name) as (lease, folder):
            (folder / "large").write_bytes(content(number))
            (folder / "note").write_bytes(b"%d" % number)
            assert await volumes.commit(lease, f"run {number}") is not None
        clock.move(3600)


def grown(number: int) -> Tree:
    return {"/large": content(number), "/note": b"%d" % number}


async def code_of(volumes: Volumes, at: int | str, name: VolumeName = WEB) -> str:
    with pytest.raises(HutchError) as caught:
        await tree_of(volumes, at, name)
    return caught.value.code


async def assert_kept(volumes: Volumes, numbers: list[int], name: VolumeName = WEB) -> None:
    """These snapshots are whole and no others are there, also to somebody without a memory of them."""
    assert [each.number for each in reversed(await volumes.log(name, 1000))] == numbers
    for number in numbers:
        assert await tree_of(volumes, number, name) == grown(number)
    assert (await volumes.check(name)).problems == ()


async def thin_and_collect(volumes: Volumes, name: VolumeName = WEB) -> None:
    """Leave the last two snapshots beside the newest, and what they need."""
    await volumes.thin(name, LAST_TWO)
    await volumes.gc(name)
