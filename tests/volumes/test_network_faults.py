"""The engine on a real server behind a bad network: what a commit acknowledged stays, whatever gets lost."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from hutch.errors import HutchError
from hutch.volumes import LeaseHeldError, ObjectStore, StoreError, Volumes
from support.bounds import chance, limit_s, times
from support.fault_proxy import Fault, FaultProxy, fault_proxy, is_conditional, is_get, is_put
from support.stores import REMOTE, azure_store, s3_store
from support.volume_engine import WEB, Tree, commit_files, run_on, tree_of, tree_on_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(limit_s(300, long=1800))]

_TTL_S = 3.0  # a lease that could not be given back holds up the next run for so long

NETWORKS: dict[str, Callable[[], list[Fault]]] = {
    "503": lambda: [Fault("answer_503", share=1 / 3)],
    "cut": lambda: [
        Fault("cut_request", is_put, share=0.2, after=20_000),
        Fault("cut_response", is_get, share=0.2, after=200),
    ],
    "lost answers": lambda: [
        Fault("drop_response", is_conditional, share=0.3),
        Fault("drop_response", share=0.1),
    ],
}


@asynccontextmanager
async def behind_a_network(
    kind: str, request: pytest.FixtureRequest, folder: Path, what: str
) -> AsyncGenerator[tuple[FaultProxy, Volumes, Volumes]]:
    """A host whose network can fail, and another with an empty cache whose does not."""
    prefix = f"network/{secrets.token_hex(8)}"  # the server is that of all processes
    seed = chance(f"{kind} {what}").randrange(1 << 30)
    if kind == "s3":
        server = request.getfixturevalue("s3_server")
        async with (
            fault_proxy(server.url, seed=seed) as proxy,
            s3_store(server, url=proxy.url, prefix=prefix, retry_s=1) as through,
            s3_store(server, prefix=prefix) as plain,
        ):
            yield proxy, Volumes(through, folder / "one", lease_ttl_s=_TTL_S), Volumes(plain, folder / "two")
    else:
        azure = request.getfixturevalue("azure_server")
        async with fault_proxy(azure.url, seed=seed) as proxy:
            through_azure: ObjectStore = azure_store(azure, url=proxy.url, prefix=prefix, retry_s=1)
            plain_azure = azure_store(azure, prefix=prefix)
            yield (
                proxy,
                Volumes(through_azure, folder / "one", lease_ttl_s=_TTL_S),
                Volumes(plain_azure, folder / "two"),
            )


async def assert_kept(elsewhere: Volumes, acknowledged: dict[int, Tree]) -> None:
    for number, tree in acknowledged.items():
        assert await tree_of(elsewhere, number) == tree
    assert (await elsewhere.check(WEB)).problems == ()
    (newest,) = await elsewhere.log(WEB, 1)
    assert newest.number >= max(acknowledged)


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize("network", NETWORKS)
async def test_what_was_acknowledged_is_kept_and_whole(
    network: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    random = chance(f"content {network}")
    acknowledged: dict[int, Tree] = {}
    async with behind_a_network(kind, request, tmp_path, network) as (proxy, volumes, elsewhere):
        await commit_files(volumes, {"begun": b"1"})
        proxy.faults = NETWORKS[network]()
        for number in range(times(6, long=200)):
            with suppress(StoreError):  # a lease that could not be taken or given back: the next run goes on
                async with volumes.lease(WEB, f"run {number}", wait_s=90) as lease:
                    folder = await volumes.check_out(lease)
                    (folder / "small").write_text(f"run {number}")
                    (folder / f"large-{number % 3}").write_bytes(random.randbytes(150_000))
                    wanted = tree_on_disk(folder)
                    while True:
                        with suppress(StoreError):
                            snapshot = await volumes.commit(lease, f"run {number}")
                            break
                    assert snapshot is not None
                    acknowledged[snapshot.number] = wanted
        done = sum(fault.done for fault in proxy.faults)
        proxy.faults = []
        await assert_kept(elsewhere, acknowledged)
    assert len(acknowledged) >= times(3, long=100)
    assert done >= times(3, long=100)


@pytest.mark.parametrize("kind", REMOTE)
async def test_a_store_that_stops_in_the_middle_gets_the_rest_when_it_is_back(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with behind_a_network(kind, request, tmp_path, "stop") as (proxy, volumes, elsewhere):
        async with run_on(volumes) as (lease, folder):
            (folder / "a").write_bytes(b"1" * 200_000)
            await volumes.commit(lease, "run 1")
            (folder / "a").write_bytes(b"2" * 200_000)
            await proxy.stop()
            with pytest.raises(HutchError) as caught:
                await volumes.commit(lease, "run 1")
            assert caught.value.code == "store_unavailable"
            assert await tree_of(elsewhere, 1) == {"/a": b"1" * 200_000}
            await proxy.start()
            snapshot = await volumes.commit(lease, "run 1")
            assert snapshot is not None
        await assert_kept(elsewhere, {1: {"/a": b"1" * 200_000}, snapshot.number: {"/a": b"2" * 200_000}})


async def test_a_store_that_takes_a_second_for_everything_only_takes_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with behind_a_network("s3", request, tmp_path, "slow") as (proxy, volumes, elsewhere):
        proxy.latency_s = 1.0
        await commit_files(volumes, {"a": b"1", "b": b"2" * 200_000})
        proxy.latency_s = 0
        assert await tree_of(elsewhere) == {"/a": b"1", "/b": b"2" * 200_000}


@pytest.mark.parametrize("kind", REMOTE)
async def test_where_answers_get_lost_one_of_many_holds_the_volume(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with behind_a_network(kind, request, tmp_path, "race") as (proxy, volumes, elsewhere):
        await commit_files(elsewhere, {"counter": b"0"})
        proxy.faults = [Fault("drop_response", is_conditional, share=0.3)]
        holders = 0
        raised = 0

        async def raise_it(volumes: Volumes, who: str) -> None:
            nonlocal holders, raised
            with suppress(LeaseHeldError):
                async with run_on(volumes, who) as (lease, folder):
                    holders += 1
                    assert holders == 1
                    number = int((folder / "counter").read_bytes())
                    (folder / "counter").write_bytes(b"%d" % (number + 1))
                    await volumes.commit(lease, who)
                    raised += 1
                    holders -= 1

        for _ in range(times(6, long=100)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(raise_it, volumes, "run 1")
                tasks.start_soon(raise_it, elsewhere, "run 2")
        assert raised >= times(6, long=100)
        assert await tree_of(elsewhere) == {"/counter": b"%d" % raised}
