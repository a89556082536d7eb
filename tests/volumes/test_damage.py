"""A changed byte in any object, or a missing object, is noticed."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import MemoryStore, Volumes
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
            assert (
                await tree_of(Volumes(store, tmp_path / "cache")) == right
            )  # the footer is not read for this
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
