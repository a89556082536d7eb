"""Every kind of store for a test, under a prefix of its own, by its name."""

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import anyio
import pytest
from botocore.loaders import Loader

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, MemoryStore, ObjectInfo, ObjectStore, StoreMemory
from hutch.volumes.stores.cloud import CloudStore, open_azure
from hutch.volumes.stores.options import StoreOptions
from hutch.volumes.stores.protocol import Condition
from hutch.volumes.stores.s3 import S3Store, open_s3
from support.azurite import AzureServer
from support.ceph import S3Server
from support.volume_engine import HandClock, keys_of

LOCAL = ("memory", "directory")
REMOTE = ("s3", "azure")
EVERY = (*LOCAL, *REMOTE)


@cache
def _loader() -> Loader:
    return Loader()


@asynccontextmanager
async def fresh_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> AsyncGenerator[ObjectStore]:
    """An empty store. `request` is the fixture's or test's: by it a server is started when it is needed."""
    if kind == "memory":
        yield MemoryStore()
    elif kind == "directory":
        yield DirectoryStore(folder / "store")
    elif kind == "s3":
        async with s3_store(request.getfixturevalue("s3_server")) as store:
            yield store
    else:
        yield azure_store(request.getfixturevalue("azure_server"))


@asynccontextmanager
async def s3_store(
    server: S3Server,
    *,
    url: str = "",
    prefix: str = "",
    bucket: str = "",
    retry_s: float = 30,
    timeout_s: float = 30,
) -> AsyncGenerator[S3Store]:
    """A part of the server's bucket, reached at `url`, where that is another way to the same server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORE_KEY", server.access_key)
        patch.setenv("STORE_SECRET", server.secret_key)
        # The description of S3, a megabyte of JSON, is read once for all tests instead of once for each
        patch.setattr("botocore.session.create_loader", lambda *_: _loader())
        options = StoreOptions(
            endpoint_url=url or server.url,
            region="us-east-1",
            credentials_env=("STORE_KEY", "STORE_SECRET"),
            retry_s=retry_s,
            timeout_s=timeout_s,
        )
        async with open_s3(
            bucket or server.bucket, prefix or f"test/{secrets.token_hex(8)}", options
        ) as store:
            yield store


def azure_store(
    server: AzureServer,
    *,
    url: str = "",
    prefix: str = "",
    container: str = "",
    key: str = "",
    retry_s: float = 30,
) -> CloudStore:
    """A part of the server's container, reached at `url`, where that is another way to the same server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORE_KEY", key or server.key)
        options = StoreOptions(
            endpoint_url=url or server.url,
            account=server.account,
            credentials_env=("STORE_KEY",),
            retry_s=retry_s,
        )
        return open_azure(container or server.container, prefix or f"test/{secrets.token_hex(8)}", options)


def memory(folder: Path) -> StoreMemory:
    """What a host remembers whose daemon has its folders here."""
    return StoreMemory(roots=folder / "state/stores.json", proofs=folder / "cache/stores.json")


async def refusal(store: ObjectStore) -> str:
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


class AgeingStore:
    """A real store, whose objects and clock grow older as a clock is moved by hand."""

    def __init__(self, inner: ObjectStore, clock: HandClock) -> None:
        self._inner = inner
        self._clock = clock
        self._began_s = clock.ticks
        self._put_s: dict[str, float] = {}

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        tag = await self._inner.put(key, data, if_match=if_match)
        self._put_s[key] = self._clock.ticks - self._began_s
        return tag

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        async for info in self._inner.list(prefix):
            later = timedelta(seconds=self._put_s.get(info.key, 0.0))
            yield replace(info, modified_at=info.modified_at + later)
