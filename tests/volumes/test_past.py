"""Snapshots are found, compared, named, and begun on anew."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import CountingStore, DirectoryStore, MemoryStore, ObjectStore, VolumeName, Volumes
from support.volume_engine import WEB, HandClock, commit_files, keys_of, run_on, tree_of, tree_on_disk

COPY = VolumeName.parse("copy")


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def volumes(store: ObjectStore, tmp_path: Path, clock: HandClock) -> Volumes:
    return Volumes(store, tmp_path / "cache", clock=clock)


async def error_of(call: Callable[[], Awaitable[object]]) -> HutchError:
    with pytest.raises(HutchError) as caught:
        await call()
    return caught.value


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
    clock.move(1000)
    async with Volumes(store, tmp_path / "other", clock=clock).lease(WEB, "next") as taken:
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


# Forks ------------------------------------------------------------------


async def test_a_fork_goes_its_own_way(volumes: Volumes, tmp_path: Path, store: ObjectStore) -> None:
    large = os.urandom(700_000)
    await commit_files(volumes, {"a": b"1", "large": large})
    await commit_files(volumes, {"a": b"2"})
    info = await volumes.fork(WEB, COPY)
    assert (info.name, info.snapshot, info.files, info.bytes) == ("copy", 0, 2, 700_001)
    assert await tree_of(volumes, name=COPY) == {"/a": b"2", "/large": large}
    async with run_on(volumes, name=COPY) as (lease, folder):
        assert tree_on_disk(folder) == {"/a": b"2", "/large": large}
        assert await volumes.commit(lease, "nothing") is None
        (folder / "a").write_bytes(b"of the copy")
        assert await volumes.commit(lease, "run 1") is not None
    await commit_files(volumes, {"a": b"3"})
    assert await tree_of(volumes, name=COPY) == {"/a": b"of the copy", "/large": large}
    assert await tree_of(volumes) == {"/a": b"3", "/large": large}
    assert await tree_of(volumes, 0, COPY) == {"/a": b"2", "/large": large}
    assert [f"{each.kind} {each.path}" async for each in volumes.diff(COPY, 0)] == ["M /a"]
    elsewhere = Volumes(store, tmp_path / "elsewhere")
    async with run_on(elsewhere, name=COPY) as (_, folder):
        assert tree_on_disk(folder) == {"/a": b"of the copy", "/large": large}
    assert (await elsewhere.check(COPY)).problems == ()


async def test_forks_of_forks_and_of_old_snapshots(volumes: Volumes) -> None:
    second, third, fourth = (VolumeName.parse(name) for name in ("second", "third", "fourth"))
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"a": b"2"})
    await volumes.tag(WEB, "one", 1)
    await volumes.fork(WEB, COPY, at="one")
    await volumes.fork(COPY, second)  # which has no entry of its own yet
    await commit_files(volumes, {"b": b"of the second"}, second)
    await volumes.fork(second, third)
    await commit_files(volumes, {"c": b"of the third"}, third)
    await volumes.fork(third, fourth, at=0)
    assert await tree_of(volumes, name=COPY) == {"/a": b"1"}
    assert await tree_of(volumes, name=third) == {"/a": b"1", "/b": b"of the second", "/c": b"of the third"}
    assert await tree_of(volumes, name=fourth) == {"/a": b"1", "/b": b"of the second"}
    for name in (WEB, COPY, second, third, fourth):
        assert (await volumes.check(name)).problems == ()


async def test_a_fork_is_two_small_writes(tmp_path: Path) -> None:
    store = CountingStore(MemoryStore())
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, {"large": os.urandom(3_000_000)})
    store.requests.clear()
    store.sent = 0
    await volumes.fork(WEB, COPY)
    assert store.requests["put"] == 2
    assert store.sent < 2000


async def test_a_fork_under_a_taken_name_leaves_nothing(volumes: Volumes, store: ObjectStore) -> None:
    await commit_files(volumes, {"a": b"1"})
    await commit_files(volumes, {"b": b"2"}, COPY)
    before = await keys_of(store)
    assert (await error_of(lambda: volumes.fork(WEB, COPY))).code == "volume_exists"
    assert (await error_of(lambda: volumes.fork(WEB, VolumeName.parse("new"), at=7))).code == (
        "snapshot_unknown"
    )
    assert await keys_of(store) == before


async def test_an_empty_volume_can_be_forked(volumes: Volumes) -> None:
    async with run_on(volumes):
        pass
    assert (await volumes.fork(WEB, COPY)).files == 0
    await commit_files(volumes, {"a": b"1"}, COPY)
    assert await tree_of(volumes, name=COPY) == {"/a": b"1"}


async def test_a_fork_keeps_hard_links_and_numbers_apart(volumes: Volumes) -> None:
    async with run_on(volumes) as (lease, folder):
        (folder / "a").write_bytes(b"same")
        os.link(folder / "a", folder / "b")
        await volumes.commit(lease, "run 1")
    await volumes.fork(WEB, COPY)
    async with run_on(volumes, name=COPY) as (lease, folder):
        assert (folder / "a").samefile(folder / "b")
        (folder / "c").write_bytes(b"other")
        os.link(folder / "c", folder / "d")
        await volumes.commit(lease, "run 1")
    async with run_on(volumes, name=COPY) as (_, folder):
        assert not (folder / "a").samefile(folder / "c")
