"""Snapshots are found, named and compared."""

import os
from pathlib import Path

import pytest

from hutch.volumes import DirectoryStore, MemoryStore, ObjectStore, VolumeName, Volumes
from support.volume_engine import (
    WEB,
    HandClock,
    commit_files,
    error_of,
    keys_of,
    run_on,
    tree_of,
)

COPY = VolumeName.parse("copy")


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


async def hourly(volumes: Volumes, clock: HandClock, count: int) -> None:
    """Snapshots 1 to `count`, an hour apart, the first at 12:00."""
    for number in range(1, count + 1):
        await volumes.write(WEB, "/count", b"%d" % number, mode="overwrite")
        clock.move(3600)


# Which snapshot ---------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (None, 5),
        (2, 2),
        ("3", 3),
        ("good", 2),
        ("2026-11-21T14:00", 3),
        ("2026-11-21T14:59:59", 3),
        ("2026-11-21T15:30+01:00", 3),
        ("2026-11-22", 5),
        ("1h", 5),
        ("61m", 4),
        ("4h", 2),
    ],
)
async def test_a_snapshot_is_found_by_number_tag_time_and_age(
    volumes: Volumes, clock: HandClock, at: int | str | None, number: int
) -> None:
    await hourly(volumes, clock, 5)
    await volumes.tag(WEB, "good", 2)
    assert await tree_of(volumes, at) == {"/count": b"%d" % number}


@pytest.mark.parametrize(
    ("at", "code", "told"),
    [
        (99, "snapshot_unknown", "it has 1 to 3"),
        (-1, "snapshot_unknown", "it has 1 to 3"),
        ("never", "tag_unknown", "its tags: good"),
        ("2026-11-21T11:59", "snapshot_unknown", "its oldest is 1"),
        ("1x", "at_invalid", "a number, a tag"),
        ("", "at_invalid", "a number, a tag"),
        ("../1", "at_invalid", "a number, a tag"),
        ("9" * 40, "at_invalid", "a number, a tag"),
        ("999999999w", "at_invalid", "a number, a tag"),
    ],
)
async def test_an_unknown_snapshot_is_refused_with_what_there_is(
    volumes: Volumes, clock: HandClock, at: int | str, code: str, told: str
) -> None:
    await hourly(volumes, clock, 3)
    await volumes.tag(WEB, "good", 2)
    error = await error_of(lambda: volumes.read(WEB, "/", at=at))
    assert error.code == code
    assert told in f"{error.message} {error.hint}"


async def test_a_fence_is_no_snapshot_that_a_time_finds(store: ObjectStore, tmp_path: Path) -> None:
    clock = HandClock()
    volumes = Volumes(store, tmp_path / "cache", clock=clock)
    await hourly(volumes, clock, 1)
    lease = volumes.lease(WEB, "lost")
    held = await lease.__aenter__()
    held.lost.set()
    await lease.__aexit__(None, None, None)
    other = Volumes(store, tmp_path / "other", clock=clock)
    await other.info(WEB)
    clock.move(1000)
    async with other.lease(WEB, "next") as taken:
        assert taken.was_left
    clock.move(1000)
    await volumes.write(WEB, "/count", b"3", mode="overwrite")
    assert [snapshot.number for snapshot in await volumes.log(WEB)] == [3, 1]
    await volumes.tag(WEB, "before", "500s")
    assert [tag.number for tag in await volumes.tags(WEB)] == [1]


# Tags -------------------------------------------------------------------


async def test_a_tag_is_told_in_the_log_until_it_is_taken_away(volumes: Volumes, clock: HandClock) -> None:
    await hourly(volumes, clock, 3)
    tag = await volumes.tag(WEB, "v1.0")
    assert (tag.label, tag.number) == ("v1.0", 3)
    assert await volumes.tag(WEB, "v1.0", 3) == tag
    assert (await error_of(lambda: volumes.tag(WEB, "v1.0", 1))).code == "tag_exists"
    await volumes.tag(WEB, "first", 1)
    assert [(each.number, each.tags) for each in await volumes.log(WEB)] == [
        (3, ("v1.0",)),
        (2, ()),
        (1, ("first",)),
    ]
    await volumes.untag(WEB, "v1.0")
    assert [each.label for each in await volumes.tags(WEB)] == ["first"]
    assert (await error_of(lambda: volumes.untag(WEB, "v1.0"))).code == "tag_unknown"


@pytest.mark.parametrize("label", ["", "1", "2h", "a b", "-a", "a-", "ä", "a/b", "../a", "x" * 101, ".x"])
async def test_what_is_no_tag_is_refused(volumes: Volumes, clock: HandClock, label: str) -> None:
    await hourly(volumes, clock, 1)
    assert (await error_of(lambda: volumes.tag(WEB, label))).code == "tag_invalid"
    assert (await error_of(lambda: volumes.untag(WEB, label))).code == "tag_invalid"


async def test_only_what_was_committed_can_have_a_tag(volumes: Volumes, store: ObjectStore) -> None:
    async with run_on(volumes):
        pass
    assert (await error_of(lambda: volumes.tag(WEB, "empty"))).code == "snapshot_unknown"
    await volumes.write(WEB, "/a", b"1")
    assert (await error_of(lambda: volumes.tag(WEB, "later", 2))).code == "snapshot_unknown"
    assert [key for key in await keys_of(store, "volumes/") if "/tags/" in key] == []


# Differences ------------------------------------------------------------


async def diff(volumes: Volumes, a: int, b: int | None = None, prefix: str = "/") -> list[str]:
    return [f"{each.kind} {each.path}" async for each in volumes.diff(WEB, a, b, prefix=prefix)]


async def three_snapshots(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "src/deep").mkdir(parents=True)
        (folder / "src/a.py").write_bytes(b"one")
        (folder / "src/deep/b.py").write_bytes(b"b")
        (folder / "big").write_bytes(os.urandom(600_000))
        (folder / "link").symlink_to("src")
        (folder / "turns").write_bytes(b"a file")
        await volumes.commit(lease, "run 1")
        (folder / "src/a.py").write_bytes(b"two!")
        (folder / "src/deep/b.py").unlink()
        (folder / "src/deep").rmdir()
        (folder / "turns").unlink()
        (folder / "turns").mkdir()
        (folder / "turns/inside").write_bytes(b"in a folder")
        await volumes.commit(lease, "run 1")
        (folder / "link").unlink()
        (folder / "link").symlink_to("turns")
        await volumes.commit(lease, "run 1")


async def test_any_two_snapshots_are_compared(volumes: Volumes) -> None:
    await three_snapshots(volumes)
    assert await diff(volumes, 1, 2) == [
        "M /src/a.py",
        "D /src/deep",
        "D /src/deep/b.py",
        "D /turns",
        "A /turns",
        "A /turns/inside",
    ]
    assert await diff(volumes, 2, 1) == [
        "M /src/a.py",
        "A /src/deep",
        "A /src/deep/b.py",
        "D /turns",
        "D /turns/inside",
        "A /turns",
    ]
    assert await diff(volumes, 1, 1) == []
    assert await diff(volumes, 2) == ["M /link"]
    assert await diff(volumes, 1, prefix="/src") == ["M /src/a.py", "D /src/deep", "D /src/deep/b.py"]
    assert await diff(volumes, 1, prefix="/src/a.py") == ["M /src/a.py"]
    assert await diff(volumes, 0, 1, prefix="/src/deep") == ["A /src/deep", "A /src/deep/b.py"]
    assert (await error_of(lambda: diff(volumes, 1, 2, "/nowhere"))).code == "path_unknown"


async def test_a_difference_tells_what_stood_there_and_what_stands_there(volumes: Volumes) -> None:
    await three_snapshots(volumes)
    (change,) = [each async for each in volumes.diff(WEB, 2, 3)]
    assert change.before is not None
    assert change.after is not None
    assert (change.before.target, change.after.target) == ("src", "turns")
    (change,) = [each async for each in volumes.diff(WEB, 1, 2, prefix="/src/a.py")]
    assert change.before is not None
    assert change.after is not None
    assert (change.before.size, change.after.size) == (3, 4)


# What a working folder holds --------------------------------------------


async def test_a_working_folder_is_compared_while_its_run_works(volumes: Volumes, store: ObjectStore) -> None:
    async def changed() -> list[str]:
        return [f"{each.kind} {each.path}" async for each in volumes.diff_working(WEB)]

    await commit_files(volumes, {"a": b"1", "large": os.urandom(700_000)})
    before = await keys_of(store)
    assert await changed() == []
    async with run_on(volumes) as (lease, folder):
        (folder / "b").write_bytes(b"2")
        (folder / "large").unlink()
        assert await changed() == ["A /b", "D /large"]
        await volumes.commit(lease, "run 2")
        assert await changed() == []
        (folder / "b").write_bytes(os.urandom(600_000))
        assert await changed() == ["M /b"]
        await volumes.commit(lease, "run 2")
    assert await changed() == []
    assert len(await keys_of(store)) == len(before) + 3  # two entries, a pack
    await volumes.fork(WEB, COPY)
    error = await error_of(lambda: anext(volumes.diff_working(COPY)))
    assert error.code == "not_checked_out"
