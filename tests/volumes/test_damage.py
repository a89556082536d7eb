"""A changed byte in any object, or a missing object, is noticed."""

import random
from collections.abc import Awaitable, Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, RetentionRules, VolumeName, Volumes
from hutch.volumes.log.lines import sealed_line
from support.volume_engine import WEB, commit_files, copy_of, keys_of, run_on, tree_of

SMALL = {"a": b"small", "d/b": b"x" * 1000}
KINDS = ["leases/", "log/00000000000000000001", "log/00000000000000000067", "checkpoints/", "packs/"]


@pytest.fixture
async def store(tmp_path: Path) -> MemoryStore:
    """A volume with objects of every kind: packs, inline blocks, a checkpoint, entries after it."""
    store = MemoryStore()
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, SMALL | {"large": random.Random(1).randbytes(600_000)})
    for number in range(66):
        await volumes.write(WEB, "/count", b"%d" % number, mode="overwrite")
    return store


async def use(store: MemoryStore, cache: Path) -> None:
    """Everything that reads the newest state."""
    volumes = Volumes(store, cache)
    await tree_of(volumes)
    async with run_on(volumes, "reader"):
        pass


async def key_of(store: MemoryStore, kind: str) -> str:
    return next(key for key in await keys_of(store) if kind in key)


async def must_fail(call: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(HutchError) as caught:
        await call()
    assert caught.value.code == "volume_damaged"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_changed_byte_is_noticed_by_a_check_wherever_it_is(
    store: MemoryStore, tmp_path: Path, kind: str
) -> None:
    key = await key_of(store, kind)
    data, _ = await store.get(key)
    step = max(1, len(data) // 50)
    for position in [*range(0, len(data), step), len(data) - 1]:
        changed = bytearray(data)
        changed[position] ^= 0x40
        await store.put(key, bytes(changed))
        report = await Volumes(store, tmp_path / "cache").check(WEB)
        assert not report.is_whole, position
    for length in (0, 1, len(data) // 2, len(data) - 1):
        await store.put(key, data[:length])
        assert not (await Volumes(store, tmp_path / "cache").check(WEB)).is_whole, length
    await store.put(key, data)
    assert (await Volumes(store, tmp_path / "cache").check(WEB)).is_whole


@pytest.mark.parametrize("kind", ["leases/", "log/00000000000000000067", "checkpoints/"])
async def test_a_changed_byte_in_what_is_read_is_never_believed(
    store: MemoryStore, tmp_path: Path, kind: str
) -> None:
    key = await key_of(store, kind)
    data, _ = await store.get(key)
    for position in range(0, len(data), max(1, len(data) // 40)):
        changed = bytearray(data)
        changed[position] ^= 1
        await store.put(key, bytes(changed))
        await must_fail(lambda: use(store, tmp_path / "elsewhere"))


async def test_changed_content_is_never_handed_out(store: MemoryStore, tmp_path: Path) -> None:
    right = await tree_of(Volumes(store, tmp_path / "cache"))
    key = await key_of(store, "packs/")
    data, _ = await store.get(key)
    noticed = 0
    for position in range(0, len(data), len(data) // 40):
        changed = bytearray(data)
        changed[position] ^= 1
        await store.put(key, bytes(changed))
        try:
            # The footer is not read for this
            assert await tree_of(Volumes(store, tmp_path / "cache")) == right
        except HutchError as error:
            noticed += error.code == "volume_damaged"
    assert noticed > 30


@pytest.mark.parametrize(
    "kind", ["log/00000000000000000001", "log/00000000000000000030", "checkpoints/", "packs/"]
)
async def test_a_missing_object_is_noticed(store: MemoryStore, tmp_path: Path, kind: str) -> None:
    await store.delete(await key_of(store, kind))
    if kind.startswith(("packs", "check")):
        await must_fail(lambda: use(store, tmp_path / "elsewhere"))
    report = await Volumes(store, tmp_path / "cache").check(WEB)
    assert kind in ("checkpoints/", "log/00000000000000000001") or not report.is_whole


async def test_an_entry_of_another_volume_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    other = MemoryStore()
    await commit_files(Volumes(other, tmp_path / "other"), {"b": b"foreign"})
    mixed = await copy_of(store)
    first = "/log/" + "1".zfill(20)
    await mixed.put(await key_of(mixed, first), (await other.get(await key_of(other, first)))[0])
    assert not (await Volumes(mixed, tmp_path / "cache").check(WEB)).is_whole
    with pytest.raises(HutchError):
        await Volumes(mixed, tmp_path / "cache").read(WEB, "/", at=3)


async def test_a_failed_restore_leaves_no_folder_and_no_commit(store: MemoryStore, tmp_path: Path) -> None:
    key = await key_of(store, "packs/")
    data, _ = await store.get(key)
    await store.put(key, data[:9] + bytes(len(data) - 9))
    elsewhere = tmp_path / "elsewhere"
    await must_fail(lambda: use(store, elsewhere))
    assert not (elsewhere / "default/web/tree").exists()
    await store.put(key, data)
    await use(store, elsewhere)
    assert (elsewhere / "default/web/tree/a").read_bytes() == b"small"


# What history adds -------------------------------------------------------

FORK, GONE = VolumeName.parse("fork"), VolumeName.parse("gone")
ALL_OLD = RetentionRules(keep_all_s=0, keep_last=3, hourly=0, daily=0, weekly=0, monthly=0)


@pytest.fixture
async def aged(tmp_path: Path) -> MemoryStore:
    """A volume with a keep list, a tag and a marker; a fork without an entry; a removed volume."""
    store = MemoryStore()
    volumes = Volumes(store, tmp_path / "cache")
    await commit_files(volumes, SMALL)
    for number in range(5):
        await volumes.write(WEB, "/count", b"%d" % number, mode="overwrite")
    await volumes.tag(WEB, "first", 1)
    await volumes.fork(WEB, FORK, at=2)
    await volumes.fork(WEB, GONE, at=2)
    await volumes.remove(GONE)
    await volumes.thin(WEB, ALL_OLD)
    return store


async def damaged_at_every_byte(store: MemoryStore, key: str, use: Callable[[], Awaitable[None]]) -> None:
    data, _ = await store.get(key)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x20
        await store.put(key, bytes(changed))
        await use()
    for length in (0, 1, len(data) // 2, len(data) - 1):
        await store.put(key, data[:length])
        await use()
    await store.put(key, data)


@pytest.mark.parametrize("kind", ["web/*/kept", "web/*/tags/first", "web/*/forks/*", "leases/default/fork"])
async def test_any_changed_byte_of_a_small_object_is_noticed_by_a_check(
    aged: MemoryStore, tmp_path: Path, kind: str
) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    key = next(key for key in await keys_of(aged) if fnmatch(key, f"*{kind}"))
    name = FORK if "fork" in kind.rpartition("/")[2] else WEB

    async def must_be_noticed() -> None:
        assert not (await volumes.check(name)).is_whole

    await damaged_at_every_byte(aged, key, must_be_noticed)
    assert (await volumes.check(name)).problems == ()


@pytest.mark.parametrize("kind", ["web/*/kept", "web/*/tags/first", "web/*/forks/*"])
async def test_nothing_is_deleted_or_decided_upon_a_damaged_object(
    aged: MemoryStore, tmp_path: Path, kind: str
) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    key = next(key for key in await keys_of(aged) if fnmatch(key, f"*{kind}"))
    before = await keys_of(aged)

    async def must_refuse() -> None:
        await must_fail(lambda: volumes.gc(WEB))
        await must_fail(lambda: volumes.thin(WEB, ALL_OLD))
        assert await keys_of(aged) == before

    await damaged_at_every_byte(aged, key, must_refuse)


async def test_a_removed_volume_whose_tombstone_is_damaged_keeps_what_it_stands_on(
    aged: MemoryStore, tmp_path: Path
) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    (key,) = [key for key in await keys_of(aged) if key.endswith("/removed")]
    markers = [each for each in await keys_of(aged) if "/forks/" in each]

    async def must_refuse() -> None:
        await must_fail(lambda: volumes.gc(GONE, grace_s=0))
        assert [each for each in await keys_of(aged) if "/forks/" in each] == markers

    await damaged_at_every_byte(aged, key, must_refuse)
    assert (await volumes.gc(GONE, grace_s=0)).volumes == 1


async def test_small_objects_are_of_their_volume_alone(aged: MemoryStore, tmp_path: Path) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    other = VolumeName.parse("other")
    await volumes.write(other, "/a", b"1")
    await volumes.write(other, "/b", b"1")
    (folder,) = {key.split("/")[3] for key in await keys_of(aged, "volumes/default/other/")}
    for kind in ("kept", "tags/first"):
        (key,) = [key for key in await keys_of(aged, "volumes/default/web/") if key.endswith(kind)]
        moved = f"volumes/default/other/{folder}/{kind}"
        await aged.put(moved, (await aged.get(key))[0])
        assert not (await volumes.check(other)).is_whole
        await aged.delete(moved)
    assert (await volumes.check(other)).problems == ()


async def test_a_fork_without_its_marker_is_noticed(aged: MemoryStore, tmp_path: Path) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    await volumes.write(FORK, "/a", b"1", mode="overwrite")
    for key in [key for key in await keys_of(aged) if "/forks/" in key]:
        data, _ = await aged.get(key)
        await aged.delete(key)
        problems = (await volumes.check(FORK)).problems
        is_ours = bool(problems)
        assert "web" not in str(problems)  # who may see the fork need not know its parent
        await aged.put(key, data)
        assert is_ours == (b"/fork/" in data)
        assert (await volumes.check(FORK)).is_whole


async def test_a_tag_or_marker_of_nothing_is_noticed(aged: MemoryStore, tmp_path: Path) -> None:
    volumes = Volumes(aged, tmp_path / "cache")
    (folder,) = {key.split("/")[3] for key in await keys_of(aged, "volumes/default/web/")}
    for kind in ("tags/none", "forks/none"):
        fields = {"volume": folder, "number": 99, "created_at": "2026-11-21T12:00:00+00:00"}
        if kind.startswith("forks"):
            fields = {"volume": f"default/none/{folder}", "number": 99}
        key = f"volumes/default/web/{folder}/{kind}"
        await aged.put(key, sealed_line(fields))
        (problem,) = (await volumes.check(WEB)).problems
        assert "not there" in problem
        await aged.delete(key)
