"""Stores over a bad network: nothing is half written, an own write is known again, errors are StoreErrors."""

import os
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from hutch.volumes import ConflictError, ObjectStore, StoreError
from hutch.volumes.stores.protocol import Condition
from support.ceph import S3Server
from support.fault_proxy import Fault, FaultProxy, fault_proxy, is_conditional, is_get, is_put
from support.stores import REMOTE, azure_store, s3_store
from support.volume_engine import keys_of

Way = tuple[FaultProxy, ObjectStore, ObjectStore]  # with the store through the proxy, and the same without


@asynccontextmanager
async def both(kind: str, request: pytest.FixtureRequest, retry_s: float = 30) -> AsyncGenerator[Way]:
    prefix = f"test/{secrets.token_hex(8)}"
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        async with (
            fault_proxy(server.url) as proxy,
            s3_store(server, url=proxy.url, prefix=prefix, retry_s=retry_s) as store,
            s3_store(server, prefix=prefix) as plain,
        ):
            yield proxy, store, plain
    else:
        azure = request.getfixturevalue("azure_server")
        async with fault_proxy(azure.url) as proxy:
            through = azure_store(azure, url=proxy.url, prefix=prefix, retry_s=retry_s)
            yield proxy, through, azure_store(azure, prefix=prefix)


@pytest.fixture(params=REMOTE)
async def way(request: pytest.FixtureRequest) -> AsyncGenerator[Way]:
    async with both(request.param, request) as found:
        yield found


@pytest.fixture(params=REMOTE)
async def impatient(request: pytest.FixtureRequest) -> AsyncGenerator[Way]:
    """A store that gives up soon."""
    async with both(request.param, request, retry_s=0.2) as found:
        yield found


async def test_without_faults_it_is_the_same_store(way: Way) -> None:
    proxy, store, plain = way
    tag = await store.put("a", b"hello")
    assert await plain.get("a") == (b"hello", tag) == await store.get("a")
    assert await keys_of(store) == ["a"]
    await store.delete("a")
    assert await keys_of(plain) == []
    assert is_put(proxy.asked[0])
    assert not any("expect" in asked.headers for asked in proxy.asked)  # one way there and back for each


async def test_the_lost_answer_to_a_winning_write_is_a_win(way: Way) -> None:
    proxy, store, plain = way
    proxy.faults = [Fault("drop_response", is_conditional, times=1)]
    first = await store.put("a", b"ours, first", if_match="absent")
    assert await plain.get("a") == (b"ours, first", first)
    second = await store.put("a", b"ours, second", if_match=first)
    proxy.faults = [Fault("drop_response", is_conditional, times=1)]
    third = await store.put("a", b"ours, third", if_match=second)
    assert await plain.get("a") == (b"ours, third", third)
    assert proxy.faults[0].done == 1


async def test_the_lost_answer_to_a_losing_write_is_a_loss(way: Way) -> None:
    proxy, store, plain = way
    theirs = await plain.put("a", b"theirs")
    for condition in ("absent", "0123456789abcdef0123456789abcdef"):
        proxy.faults = [Fault("drop_response", is_conditional, times=1)]
        with pytest.raises(ConflictError):
            await store.put("a", b"ours", if_match=condition)
    assert await plain.get("a") == (b"theirs", theirs)


async def test_an_upload_that_is_cut_writes_nothing_and_the_next_attempt_all(impatient: Way) -> None:
    proxy, store, plain = impatient
    data = os.urandom(3 << 20)

    async def fails(key: str, condition: Condition) -> None:
        with pytest.raises(StoreError):
            await store.put(key, data, if_match=condition)

    proxy.faults = [Fault("cut_request", is_put, after=1 << 20)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails, "a", None)
        tasks.start_soon(fails, "b", "absent")
    assert await keys_of(plain) == []
    for key, condition in (("a", None), ("b", "absent")):
        proxy.faults = [Fault("cut_request", is_put, times=1, after=1 << 20)]
        await store.put(key, data, if_match=condition)
        assert proxy.faults[0].done == 1
        assert (await plain.get(key))[0] == data


async def test_a_download_that_is_cut_is_asked_for_again(way: Way) -> None:
    proxy, store, plain = way
    data = os.urandom(1 << 20)
    await plain.put("a", data)
    proxy.faults = [Fault("cut_response", is_get, times=2, after=1 << 18)]
    assert (await store.get("a"))[0] == data
    assert (await store.get("a", start=7, end=1 << 19))[0] == data[7 : 1 << 19]
    assert proxy.faults[0].done == 2


async def test_a_third_of_all_answers_503_goes_unnoticed(way: Way) -> None:
    proxy, store, plain = way
    proxy.faults = [Fault("answer_503", share=1 / 3)]
    tag = await store.put("head", b"0", if_match="absent")

    async def write(number: int) -> None:
        await store.put(f"packs/{number:02}", b"%d" % number)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(write, number)
    for number in range(5):
        tag = await store.put("head", b"%d" % number, if_match=tag)
    assert len(await keys_of(store, "packs/")) == 20
    assert await plain.get("head") == (b"4", tag)
    assert proxy.faults[0].done > 5


async def test_a_store_that_cannot_be_reached_is_an_error_and_works_again_later(impatient: Way) -> None:
    proxy, store, plain = impatient
    tag = await store.put("a", b"1")
    await proxy.stop()
    failed = []

    async def fails(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(StoreError) as caught:
            await call()
        failed.append(caught.value.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails, lambda: store.get("a"))
        tasks.start_soon(fails, lambda: store.put("a", b"2", if_match=tag))
        tasks.start_soon(fails, lambda: store.put("b", b"2"))
        tasks.start_soon(fails, lambda: store.delete("a"))
        tasks.start_soon(fails, lambda: keys_of(store))
    assert failed == ["store_unavailable"] * 5
    await proxy.start()
    assert await store.get("a") == (b"1", tag)
    assert await keys_of(plain) == ["a"]


async def test_a_second_of_latency_changes_nothing_but_the_time(way: Way) -> None:
    proxy, store, plain = way
    proxy.latency_s = 1.0
    begun = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(store.put, f"k{number}", b"x")
    assert 1.0 <= anyio.current_time() - begun < 16.0  # all at once, not one after the other
    proxy.latency_s = 0
    assert len(await keys_of(plain)) == 16


async def test_a_large_upload_goes_on_where_it_was_cut_and_knows_its_lost_end(
    request: pytest.FixtureRequest,
) -> None:
    data = os.urandom(1 << 20) * 65
    async with both("s3", request) as (proxy, store, plain):
        proxy.faults = [
            Fault("cut_request", is_put, times=2, after=1 << 20),
            Fault(
                "drop_response", lambda asked: asked.method == "POST" and "uploadId" in asked.target, times=1
            ),
        ]
        await store.put("large", data)
        assert [fault.done for fault in proxy.faults] == [2, 1]
        assert (await plain.get("large"))[0] == data


async def test_a_server_that_falls_silent_holds_nobody_for_good(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutch.volumes.stores.s3._SLOWEST", 16 << 20)
    data = os.urandom(1 << 20) * 20  # more than the way between holds
    async with (
        fault_proxy(s3_server.url) as proxy,
        s3_store(s3_server, url=proxy.url, timeout_s=1.0) as store,
    ):
        proxy.faults = [Fault("stall", times=1)]
        await store.put("a", data)
        proxy.faults = [Fault("stall", times=1)]
        assert (await store.get("a"))[0] == data
        proxy.faults = [Fault("stall", times=1)]
        assert await keys_of(store) == ["a"]
