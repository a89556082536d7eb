"""A store proves itself before it is used, and is not taken for an empty one when it is gone."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    CountingStore,
    MemoryStore,
    ProvenStore,
    StoreOptions,
    Volumes,
    examine_store,
    open_store,
)
from hutch.volumes.stores.protocol import Condition
from support.ceph import S3Server
from support.stores import memory, refusal, s3_store
from support.volume_engine import commit_files, keys_of


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[ProvenStore]:
    """A daemon's store in the folder `store`."""
    async with open_store((folder / "store").as_uri(), StoreOptions(), memory(folder)) as store:
        yield store


async def test_a_folder_that_is_gone_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put("a", b"1")
        (tmp_path / "store").rename(tmp_path / "unmounted")
        assert await refusal(store) == "store_gone"
        (tmp_path / "unmounted").rename(tmp_path / "store")
        assert (await store.get("a"))[0] == b"1"
        (tmp_path / "store").rename(tmp_path / "unmounted")
    async with opened(tmp_path) as store:
        assert await refusal(store) == "store_gone"
    assert not (tmp_path / "store").exists()


async def test_the_empty_folder_of_an_unmounted_store_is_refused_and_stays_empty(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await store.put("a", b"1")
        (tmp_path / "store").rename(tmp_path / "unmounted")
        (tmp_path / "store").mkdir()
        assert await refusal(store) == "store_gone"
    async with opened(tmp_path) as store:
        assert await refusal(store) == "store_gone"
    assert list((tmp_path / "store").iterdir()) == []
    (tmp_path / "store").rmdir()
    (tmp_path / "unmounted").rename(tmp_path / "store")
    async with opened(tmp_path) as store:
        assert (await store.get("a"))[0] == b"1"


async def test_another_store_in_its_place_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put("a", b"1")
    (tmp_path / "store").rename(tmp_path / "first")
    async with open_store((tmp_path / "store").as_uri(), StoreOptions(), memory(tmp_path / "else")) as store:
        await store.put("a", b"2")
    async with opened(tmp_path) as store:
        assert await refusal(store) == "store_changed"


async def test_two_hosts_that_open_a_new_store_at_once_agree_on_its_root(tmp_path: Path) -> None:
    async def use(host: str) -> None:
        url = (tmp_path / "store").as_uri()
        async with open_store(url, StoreOptions(), memory(tmp_path / host)) as store:
            await store.put(host, b"1")

    async with anyio.create_task_group() as tasks:
        for host in ("a", "b", "c"):
            tasks.start_soon(use, host)
    roots = {(tmp_path / host / "state/stores.json").read_text() for host in ("a", "b", "c")}
    assert len(roots) == 1


async def test_an_emptied_bucket_is_no_new_store(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server) as plain:
        store = ProvenStore(plain, "s3", memory(tmp_path), None)
        await commit_files(Volumes(store, tmp_path / "one"), {"a": b"1"})
        for key in await keys_of(plain):
            await plain.delete(key)
        again = ProvenStore(plain, "s3", memory(tmp_path), None)
        for seen in (store, again):
            with pytest.raises(HutchError) as caught:
                await commit_files(Volumes(seen, tmp_path / "two"), {"a": b"2"})
            assert caught.value.code == "store_gone"
        assert await keys_of(plain) == []


class Careless(MemoryStore):
    """Takes conditions and writes all the same, as some servers do."""

    dialect = ""

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        return await super().put(key, data)


class Hasty(MemoryStore):
    """Looks first and writes then: right as long as nobody races."""

    dialect = ""

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        if if_match == "absent":
            is_there = key in await keys_of(self, key)
            await anyio.lowlevel.checkpoint()
            if not is_there:
                return await super().put(key, data)
        return await super().put(key, data, if_match=if_match)


@pytest.mark.parametrize("kind", [Careless, Hasty])
async def test_a_store_that_does_not_honour_conditions_is_refused(
    kind: type[Careless | Hasty], tmp_path: Path
) -> None:
    store = ProvenStore(kind(), "careless", memory(tmp_path), None)
    with pytest.raises(HutchError) as caught:
        await commit_files(Volumes(store, tmp_path / "cache"), {"a": b"1"})
    assert caught.value.code == "store_unsafe"
    (check,) = await examine_store(store, fresh=False)
    assert (check.name, check.works) == ("conditional writes", False)
    assert "16" in check.detail
    assert check.fix


class Counted(CountingStore):
    """What a start asks of the store."""

    dialect = ""


async def test_a_proof_is_remembered_until_it_is_deleted(tmp_path: Path) -> None:
    inner = MemoryStore()

    async def writes_of_a_start() -> int:
        counted = Counted(inner)
        await ProvenStore(counted, "here", memory(tmp_path), None).prove()
        return counted.requests["put"]

    assert await writes_of_a_start() > 16
    assert await writes_of_a_start() == 0
    (tmp_path / "cache/stores.json").unlink()
    assert await writes_of_a_start() > 16
    (tmp_path / "cache/stores.json").write_text("cut o")
    assert await writes_of_a_start() > 16
    assert [key for key in await keys_of(inner) if key.startswith("probes/")] == []


async def test_requests_that_come_first_and_at_once_prove_it_once(tmp_path: Path) -> None:
    counted = Counted(MemoryStore())
    await ProvenStore(counted, "here", memory(tmp_path), None).prove()
    counted.requests.clear()
    store = ProvenStore(counted, "here", memory(tmp_path), None)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(store.prove)
    assert counted.requests == {"get": 1}


async def test_what_ceph_takes_as_an_etag_is_found_out_once(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server) as plain:
        assert plain.dialect == ""
        await ProvenStore(plain, "s3", memory(tmp_path), None).prove()
        assert plain.dialect in ("quoted", "bare")
    proof = json.loads((tmp_path / "cache/stores.json").read_text())["s3"]
    async with s3_store(s3_server, prefix=plain.prefix) as again:
        await ProvenStore(again, "s3", memory(tmp_path), None).prove()
        assert again.dialect == proof["dialect"] == plain.dialect
