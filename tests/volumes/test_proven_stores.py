"""A store proves itself before it is used, and is not taken for an empty one when it is gone."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    CountingStore,
    MemoryStore,
    ProvenStore,
    StoreMemory,
    StoreOptions,
    Volumes,
    examine_store,
    open_store,
)
from hutch.volumes.store import Condition
from support.ceph import S3Server
from support.stores import s3_store
from support.volume_engine import commit_files, keys_of


def memory(folder: Path) -> StoreMemory:
    return StoreMemory(roots=folder / "state/stores.json", proofs=folder / "cache/stores.json")


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[ProvenStore]:
    """A daemon's store in the folder `store`."""
    async with open_store((folder / "store").as_uri(), StoreOptions(), memory(folder)) as store:
        yield store


async def refusal(store: ProvenStore) -> str:
    """The one code with which everything is refused."""
    codes = set()

    async def ask(call: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(HutchError) as caught:
            await call()
        assert caught.value.hint
        codes.add(caught.value.code)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, lambda: store.get("leases/a"))
        tasks.start_soon(ask, lambda: store.put("leases/a", b"1"))
        tasks.start_soon(ask, lambda: keys_of(store, "leases/"))
    (code,) = codes
    return code


async def test_a_folder_that_is_gone_is_refused_and_not_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put("a", b"1")
        (tmp_path / "store").rename(tmp_path / "unmounted")
        assert await refusal(store) == "store_gone"
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


async def test_what_ceph_takes_as_an_etag_is_found_out_once(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server) as plain:
        assert plain.dialect == ""
        await ProvenStore(plain, "s3", memory(tmp_path), None).prove()
        assert plain.dialect in ("quoted", "bare")
    proof = json.loads((tmp_path / "cache/stores.json").read_text())["s3"]
    async with s3_store(s3_server, prefix=plain.prefix) as again:
        await ProvenStore(again, "s3", memory(tmp_path), None).prove()
        assert again.dialect == proof["dialect"] == plain.dialect


@pytest.mark.parametrize(
    ("bucket", "secret", "url", "code", "check"),
    [
        ("hutch", "wrong", "", "store_credentials", "credentials"),
        ("hutch", "", "", "store_credentials", "credentials"),
        ("no-such-bucket", "right", "", "store_bucket_missing", "store"),
        ("hutch", "right", "http://127.0.0.1:1", "store_unavailable", "endpoint"),
    ],
)
async def test_what_is_wrong_is_said_with_what_mends_it(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    secret: str,
    url: str,
    code: str,
    check: str,
) -> None:
    monkeypatch.setenv("STORE_KEY", s3_server.access_key)
    monkeypatch.setenv("STORE_SECRET", s3_server.secret_key if secret == "right" else secret)
    options = StoreOptions(
        endpoint_url=url or s3_server.url,
        region="us-east-1",
        credentials_env=("STORE_KEY", "STORE_SECRET"),
        retry_s=0.1,
    )
    async with open_store(f"s3://{bucket}/{code}", options, memory(tmp_path)) as store:
        assert await refusal(store) == code
        (found,) = await examine_store(store, fresh=False)
    assert (found.name, found.works) == (check, False)
    assert found.detail.startswith(code)
    assert found.fix
    assert secret == "" or s3_server.secret_key not in found.detail


async def test_a_clock_that_is_wrong_by_an_hour_is_told(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*, remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) + timedelta(hours=1)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr("botocore.auth.get_current_datetime", late)
    async with s3_store(s3_server) as plain:
        store = ProvenStore(plain, "s3", memory(tmp_path), None)
        assert await refusal(store) == "store_clock_skew"
        (found,) = await examine_store(store, fresh=False)
    assert (found.name, found.works) == ("clock", False)


async def test_what_the_bucket_s_policy_denies_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server, prefix="denied") as plain:
        assert await refusal(ProvenStore(plain, "s3", memory(tmp_path), None)) == "store_forbidden"


async def test_a_store_in_order_says_how_it_is(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server) as plain:
        checks = await examine_store(ProvenStore(plain, "s3", memory(tmp_path), None), fresh=False)
    assert [(check.name, check.works) for check in checks] == [
        ("store", True),
        ("conditional writes", True),
        ("clock", True),
        ("latency", True),
    ]
    assert "ms" in checks[-1].detail


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "s3://", "s3://bucket/../x", "s3://bucket?a", "file://host/x"]
)
async def test_a_url_that_is_no_store_s_is_refused(tmp_path: Path, url: str) -> None:
    async with open_store(url, StoreOptions(), memory(tmp_path)) as store:
        assert await refusal(store) in ("store_url_invalid", "store_unavailable")
