"""What every object store must do, asked of each one."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from hutch.volumes import (
    ConflictError,
    CountingStore,
    DirectoryStore,
    FaultyStore,
    MemoryStore,
    NotFoundError,
    ObjectStore,
    StoreError,
)
from hutch.volumes.stores.cloud import CloudStore
from support.azurite import AzureServer
from support.ceph import S3Server
from support.stores import EVERY, REMOTE, azure_store, fresh_store, s3_store
from support.volume_engine import keys_of

STORES = (*EVERY, "counting", "faulty")


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ObjectStore]:
    kind = {"counting": "memory", "faulty": "directory"}.get(request.param, request.param)
    async with fresh_store(kind, request, tmp_path) as inner:
        match request.param:
            case "counting":
                yield CountingStore(inner)
            case "faulty":
                yield FaultyStore(inner, fail_at=10_000)
            case _:
                yield inner


async def test_what_was_put_is_got(store: ObjectStore) -> None:
    await store.put("a/b", b"hello")
    data, tag = await store.get("a/b")
    assert data == b"hello"
    assert tag


async def test_a_range_is_got(store: ObjectStore) -> None:
    await store.put("a", b"0123456789")
    assert (await store.get("a", start=2, end=5))[0] == b"234"
    assert (await store.get("a", start=8))[0] == b"89"
    assert (await store.get("a", start=8, end=100))[0] == b"89"
    assert (await store.get("a", start=50, end=60))[0] == b""


async def test_what_was_never_put_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError):
        await store.get("a/b")
    await store.put("a/b", b"x")
    with pytest.raises(NotFoundError):
        await store.get("a/c")


async def test_an_object_is_replaced_whole(store: ObjectStore) -> None:
    first = await store.put("a", b"a longer first version")
    second = await store.put("a", b"short")
    assert (await store.get("a")) == (b"short", second)
    assert first != second


async def test_only_the_first_put_if_absent_wins(store: ObjectStore) -> None:
    await store.put("a", b"first", if_match="absent")
    with pytest.raises(ConflictError):
        await store.put("a", b"second", if_match="absent")
    assert (await store.get("a"))[0] == b"first"


async def test_of_many_at_once_one_put_if_absent_wins(store: ObjectStore) -> None:
    winners: list[int] = []

    async def attempt(number: int) -> None:
        try:
            await store.put("race", b"%d" % number, if_match="absent")
        except ConflictError:
            return
        winners.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(attempt, number)
    assert [b"%d" % winner for winner in winners] == [(await store.get("race"))[0]]


async def test_a_put_with_the_right_tag_wins_and_with_an_old_one_loses(store: ObjectStore) -> None:
    old = await store.put("a", b"1")
    new = await store.put("a", b"2", if_match=old)
    with pytest.raises(ConflictError):
        await store.put("a", b"3", if_match=old)
    assert await store.get("a") == (b"2", new)


async def test_a_put_with_a_tag_loses_where_nothing_is(store: ObjectStore) -> None:
    tag = await store.put("a", b"1")
    await store.delete("a")
    with pytest.raises(StoreError):
        await store.put("a", b"2", if_match=tag)
    with pytest.raises(NotFoundError):
        await store.get("a")


async def test_a_counter_that_many_raise_by_tag_loses_nothing(store: ObjectStore) -> None:
    await store.put("counter", b"0")

    async def raise_it() -> None:
        for _ in range(10):
            while True:
                data, tag = await store.get("counter")
                number = int(data.split()[0]) + 1
                try:
                    await store.put(
                        "counter", b"%d %s" % (number, os.urandom(8).hex().encode()), if_match=tag
                    )
                except ConflictError:
                    continue
                break

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(raise_it)
    assert (await store.get("counter"))[0].split()[0] == b"50"


async def test_what_was_deleted_is_gone_and_deleting_again_is_no_error(store: ObjectStore) -> None:
    await store.put("a", b"1")
    await store.delete("a")
    await store.delete("a")
    with pytest.raises(NotFoundError):
        await store.get("a")


async def test_a_list_is_in_order_and_goes_by_prefix_not_by_folder(store: ObjectStore) -> None:
    for key in ("log/2", "log/10", "log-2/1", "packs/aa", "lo"):
        await store.put(key, key.encode())
    assert await keys_of(store, "log/") == ["log/10", "log/2"]
    assert await keys_of(store, "log") == ["log-2/1", "log/10", "log/2"]
    assert await keys_of(store) == ["lo", "log-2/1", "log/10", "log/2", "packs/aa"]
    assert await keys_of(store, "none/") == []


async def test_a_list_tells_sizes_and_when_each_object_was_last_written(store: ObjectStore) -> None:
    await store.put("a", b"1")
    tick = 1.1 if isinstance(store, CloudStore) else 0.05  # Azure tells whole seconds
    await anyio.sleep(tick)
    await store.put("b", b"22")
    first = {info.key: info async for info in store.list("")}
    await anyio.sleep(tick)
    await store.put("a", b"333")
    second = {info.key: info async for info in store.list("")}
    assert {key: info.size for key, info in second.items()} == {"a": 3, "b": 2}
    assert first["a"].modified_at < first["b"].modified_at < second["a"].modified_at
    assert second["a"].modified_at.utcoffset() == timedelta(0)
    assert first["b"] == second["b"]


async def test_an_empty_object_and_a_large_one_come_back(store: ObjectStore) -> None:
    large = os.urandom(1 << 20) * 20
    await store.put("empty", b"")
    await store.put("large", large)
    assert (await store.get("empty"))[0] == b""
    assert (await store.get("large"))[0] == large


NO_KEYS = ["../a", "/a", "a//b", "a/../b", ".a", "a/.b", "a\0b", "", "a/", "ä", "a b", "a?b", "a" * 901]


async def test_every_store_refuses_keys_that_are_none(store: ObjectStore, tmp_path: Path) -> None:
    for key in NO_KEYS:
        for call in (store.put(key, b"x"), store.put(key, b"x", if_match="absent"), store.get(key)):
            with pytest.raises(StoreError) as caught:
                await call
            assert type(caught.value) is StoreError
    assert await keys_of(store) == []
    assert not tmp_path.exists() or list(tmp_path.iterdir()) == []


async def test_every_store_takes_all_that_a_key_may_be(store: ObjectStore) -> None:
    keys = ["-/_", "A/Z/a/z/0/9", "a...b", "volumes/team.x/web@conflict-2026", "/".join(["x" * 200] * 4)]
    for key in keys:
        await store.put(key, key.encode())
    assert await keys_of(store) == sorted(keys)
    for key in keys:
        assert (await store.get(key))[0] == key.encode()
        await store.delete(key)
    assert await keys_of(store) == []


@pytest.mark.parametrize("kind", REMOTE)
async def test_a_long_list_comes_whole_and_in_order(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    count = 1100  # more than a page
    async with fresh_store(kind, request, tmp_path) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(partial(store.put, f"log/{number:05}", b"%d" % number))
        assert await keys_of(store, "log/") == [f"log/{number:05}" for number in range(count)]


async def test_an_object_of_many_parts_comes_back_and_is_replaced(s3_server: S3Server) -> None:
    large = os.urandom(1 << 20) * 70
    async with s3_store(s3_server) as store:
        first = await store.put("large", large)
        assert "-" in first  # what S3 calls an object that came in parts
        data, tag = await store.get("large")
        assert (data == large, tag) == (True, first)
        assert (await store.get("large", start=(16 << 20) - 2, end=(16 << 20) + 2))[0] == large[-2:] + large[
            :2
        ]
        await store.put("large", b"small", if_match=first)
        assert (await store.get("large"))[0] == b"small"


@pytest.mark.parametrize(
    ("container", "key", "url", "code"),
    [
        ("", "bm8=", "", "store_credentials"),
        ("", "not base64", "", "store_credentials"),
        ("no-such-container", "", "", "store_bucket_missing"),
        ("", "", "http://127.0.0.1:1/hutchtest", "store_unavailable"),
    ],
)
async def test_what_azure_refuses_is_told(
    azure_server: AzureServer, container: str, key: str, url: str, code: str
) -> None:
    async def ask(call: Callable[[ObjectStore], Awaitable[object]]) -> None:
        with pytest.raises(StoreError) as caught:
            await call(azure_store(azure_server, container=container, key=key, url=url, retry_s=0))
        assert (caught.value.code, bool(caught.value.hint)) == (code, True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, keys_of)
        tasks.start_soon(ask, lambda store: store.get("a"))
        tasks.start_soon(ask, lambda store: store.put("a", b"", if_match="absent"))


async def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file stands in its place")
    with pytest.raises(StoreError):
        await keys_of(DirectoryStore(tmp_path / "store"), "leases/")


async def test_a_writer_that_is_killed_leaves_no_object(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from hutch.volumes.stores import directory
os.link = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
directory._write(os.open(sys.argv[1], os.O_RDONLY), "key", b"half", "absent")
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert await keys_of(DirectoryStore(tmp_path)) == []


async def test_a_faulty_store_fails_before_or_after_its_nth_write() -> None:
    inner = MemoryStore()
    before = FaultyStore(inner, fail_at=2)
    await before.put("a", b"1")
    for _ in range(2):
        with pytest.raises(StoreError):
            await before.put("b", b"2")
    with pytest.raises(StoreError):
        await before.get("a")
    assert await keys_of(inner) == ["a"]
    after = FaultyStore(inner, fail_at=1, after=True, stays_down=False)
    with pytest.raises(StoreError):
        await after.put("c", b"3")
    await after.put("d", b"4")
    assert await keys_of(inner) == ["a", "c", "d"]
