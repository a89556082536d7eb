"""The store that a benchmark runs on, and the bucket that its peers share with it."""

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiobotocore.session import get_session

import _measure  # noqa: F401 - makes the tests' support importable
from hutch.volumes import DirectoryStore, ObjectStore
from hutch.volumes.stores.options import StoreOptions
from hutch.volumes.stores.s3 import open_s3
from support.ceph import gateway

_ENV = ("HUTCH_BENCH_KEY", "HUTCH_BENCH_SECRET")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket on the S3 server of this benchmark."""

    endpoint: str
    name: str
    access_key: str
    secret_key: str


@contextmanager
def s3_bucket() -> Iterator[Bucket]:
    """Start a real S3 server on loopback, with one bucket, for the length of the block."""
    with TemporaryDirectory(prefix="hutch-bench-s3-") as folder, gateway(Path(folder)) as server:
        yield Bucket(server.url, server.bucket, server.access_key, server.secret_key)


@asynccontextmanager
async def bench_store(folder: Path, bucket: Bucket | None, prefix: str) -> AsyncGenerator[ObjectStore]:
    """A fresh store: below `prefix` of the bucket, or in a folder."""
    if bucket is None:
        yield DirectoryStore(folder)
        return
    os.environ |= dict(zip(_ENV, (bucket.access_key, bucket.secret_key), strict=True))
    options = StoreOptions(endpoint_url=bucket.endpoint, region="us-east-1", credentials_env=_ENV)
    async with open_s3(bucket.name, f"{prefix}/hutch", options) as store:
        yield store


async def stored(folder: Path, bucket: Bucket | None, prefix: str) -> tuple[int, int]:
    """Bytes and objects that lie in a folder, or below a prefix of the bucket."""
    if bucket is None:
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        return sum(sizes), len(sizes)
    keys = {"aws_access_key_id": bucket.access_key, "aws_secret_access_key": bucket.secret_key}
    made = get_session().create_client("s3", region_name="us-east-1", endpoint_url=bucket.endpoint, **keys)
    async with made as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=f"{prefix}/")
        sizes = [found["Size"] async for page in pages for found in page.get("Contents", ())]
    return sum(sizes), len(sizes)
