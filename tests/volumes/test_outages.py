"""A run on a real server that is away, slow, overloaded, or badly connected: it goes on, and all is there."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hutch.volumes import ObjectStore, StoreError, StreamStatus, Volumes
from support.bounds import chance, limit_s, times
from support.ceph import S3Server
from support.fault_proxy import Fault, FaultProxy, fault_proxy, is_conditional, is_get, is_put
from support.generations import generation, write_generation
from support.stores import s3_store
from support.volume_engine import WEB, keys_of, run_on

pytestmark = pytest.mark.slow
_RETRY_S = 1.0  # a request is given up soon, so that the engine meets the error
_TTL_S = 3.0  # the lease runs out during an outage, and is renewed a few times during the rest
_OUTAGE_S = 5.0
_LONG_S = 90
_LAST = 20  # generation

Damage = Callable[[FaultProxy], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def stopped(proxy: FaultProxy) -> AsyncGenerator[None]:
    await proxy.stop()
    await anyio.sleep(_OUTAGE_S)  # longer than the lease lasts
    yield
    await proxy.start()


@asynccontextmanager
async def slowed(proxy: FaultProxy) -> AsyncGenerator[None]:
    proxy.latency_s = 1.0
    yield


def broken(*faults: Callable[[], Fault]) -> Damage:
    @asynccontextmanager
    async def begin(proxy: FaultProxy) -> AsyncGenerator[None]:
        proxy.faults = [fault() for fault in faults]
        yield

    return begin


KINDS: dict[str, Damage] = {
    "stopped": stopped,
    "slowed to 1 s": slowed,
    "503 on a third": broken(lambda: Fault("answer_503", share=1 / 3)),
    "cut in the request": broken(lambda: Fault("cut_request", is_put, share=1 / 3, after=100)),
    "cut in the answer": broken(lambda: Fault("cut_response", is_get, share=1 / 3, after=30)),
    "answers lost": broken(lambda: Fault("drop_response", is_put, share=1 / 3)),
    "answers of conditional writes lost": broken(lambda: Fault("drop_response", is_conditional, times=12)),
    "all of it": broken(
        lambda: Fault("answer_503", share=0.1),
        lambda: Fault("cut_request", share=0.1, after=100),
        lambda: Fault("cut_response", share=0.1, after=30),
        lambda: Fault("drop_response", share=0.1),
    ),
}


@pytest.mark.timeout(limit_s(300, long=900))
async def test_runs_go_on_and_in_the_end_everything_is_there_once(
    tmp_path: Path, s3_server: S3Server
) -> None:
    """All kinds at the same time: mostly they wait."""
    for number in range(times(1, long=10)):
        async with anyio.create_task_group() as tasks:
            for kind in KINDS:
                folder = tmp_path / f"{kind} {number}"
                tasks.start_soon(run_through, s3_server, kind, folder, number, name=kind)


async def run_through(server: S3Server, kind: str, folder: Path, number: int) -> None:
    prefix = f"test/{secrets.token_hex(8)}"
    async with (
        fault_proxy(server.url, seed=chance(kind).randrange(1 << 30) + number) as proxy,
        s3_store(server, url=proxy.url, prefix=prefix, retry_s=_RETRY_S) as store,
        s3_store(server, prefix=prefix) as plain,
    ):
        await a_run(Volumes(store, folder / "cache", lease_ttl_s=_TTL_S), proxy, KINDS[kind])
        await go_on_elsewhere(Volumes(store, folder / "elsewhere", lease_ttl_s=_TTL_S))
        if proxy.faults:
            assert sum(fault.done for fault in proxy.faults) >= 3, kind
        await prove(plain, folder / "empty")


async def a_run(volumes: Volumes, proxy: FaultProxy, damage: Damage) -> None:
    """Write generations before, during and after the damage."""
    told: list[StreamStatus] = []
    async with run_on(volumes) as (lease, folder):
        async with volumes.stream(lease, "run 1", on_event=told.append) as stream:
            await write(folder, range(1, 4))
            await until(lambda: stream.status.snapshot is not None)
            async with damage(proxy):
                for part in (
                    [range(4, 16)] if damage is slowed else [range(4, 8), range(8, 12), range(12, 16)]
                ):
                    await write(folder, part)
                    await until(lambda: stream.status.is_behind)
                    if damage is not stopped:
                        await until(lambda: not stream.status.is_behind)
                if damage is stopped:
                    await until(lambda: stream.status.problem is not None)
            await write(folder, range(16, 20))
            await until(lambda: not stream.status.is_behind)
            assert stream.status.problem is None
        await patiently(lambda: volumes.commit(lease, "run 1"))
    proxy.latency_s = 0.0
    if damage is stopped:
        assert any(status.problem for status in told)


async def go_on_elsewhere(volumes: Volumes) -> None:
    """Read everything on a host that knows nothing, over the same network, and write one generation more."""

    async def go_on() -> None:
        async with volumes.lease(WEB, "run 2", wait_s=_LONG_S) as lease:
            folder = await volumes.check_out(lease)
            if generation(folder) == _LAST - 1:  # else it was written by an attempt that had seemed to fail
                generation(folder, exactly=_LAST - 1)
                write_generation(folder, _LAST)
            await volumes.commit(lease, "run 2")

    await patiently(go_on)


async def write(folder: Path, numbers: range) -> None:
    for number in numbers:
        write_generation(folder, number)
        await anyio.sleep(0.03)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(_LONG_S):
        while not holds():
            await anyio.sleep(0.01)


async def patiently(work: Callable[[], Awaitable[object]]) -> None:
    """Do it again for as long as the store fails."""
    with anyio.fail_after(_LONG_S):
        while True:
            try:
                await work()
            except StoreError:
                await anyio.sleep(0.1)
            else:
                return


async def prove(store: ObjectStore, empty: Path) -> None:
    """One volume with one log: its newest snapshot holds everything, and no entry repeats another one."""
    reader = Volumes(store, empty)
    assert [(info.name, info.held_by) for info in await reader.list()] == [("web", None)]
    async with reader.check_out_read_only(WEB) as folder:
        generation(folder, exactly=_LAST)
    assert (await reader.check(WEB)).problems == ()
    keys = await keys_of(store, "volumes/")
    assert len({key.split("/")[3] for key in keys}) == 1
    log = list(reversed(await reader.log(WEB, 1000)))
    numbers = [int(key[-20:]) for key in keys if "/log/" in key]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {snapshot.number for snapshot in log} <= {*numbers}
    newest = 0
    for snapshot in log:
        async with reader.check_out_read_only(WEB, snapshot.number) as folder:
            newest, before = generation(folder), newest
            assert newest >= before
