"""A store in a bucket of Amazon S3, Ceph, MinIO, R2 or another server that speaks S3."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC
from functools import cache, partial
from ssl import SSLContext
from typing import Any, TypeVar

import anyio
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.handlers import add_expect_header
from botocore.loaders import Loader, create_loader

from hutch.volumes.failures import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores import multipart
from hutch.volumes.stores.attempts import Found, Patience
from hutch.volumes.stores.hashes import md5_of
from hutch.volumes.stores.keys import checked
from hutch.volumes.stores.options import Stamp, StoreOptions, read_file, stamp_of, values_of
from hutch.volumes.stores.protocol import Condition, ObjectInfo
from hutch.volumes.stores.refusals import BeyondEndError
from hutch.volumes.stores.rehearsal import rehearse
from hutch.volumes.stores.s3_failures import FAILURES, failure

# How If-Match is written: Ceph up to 18 compares it with its quotes, and so never finds it equal
_QUOTED, _BARE = "quoted", "bare"

T = TypeVar("T")

_MULTIPART_BYTES = 64 << 20
_prepared: dict[tuple[StoreOptions, Stamp], Any] = {}  # clients, each for the first who opens a store so
_SLOWEST = 64 << 10  # bytes a second; a line that is slower counts as cut


@asynccontextmanager
async def open_s3(bucket: str, prefix: str, options: StoreOptions) -> AsyncGenerator["S3Store"]:
    """The store with its one client. Asks the server nothing yet."""
    client = _prepared.pop((options, stamp_of(options)), None)
    try:
        client = client or await _client(options, values_of(options)).__aenter__()
    except FAILURES as error:
        raise failure(error, "") from error
    try:
        yield S3Store(client, bucket, prefix, options)
    finally:
        with anyio.CancelScope(shield=True):
            await client.__aexit__(None, None, None)


def prepare_s3(options: StoreOptions) -> None:
    """Have in memory what each process would read and compile for itself before its first request.

    That is the client itself, unconnected, where it can be seen that its credentials are still the same.
    """

    async def prepare() -> None:
        is_sure = options.credentials_env or options.credentials_file
        stamp, keys = stamp_of(options), values_of(options) if is_sure else ("none", "none")
        client = await _client(options, keys).__aenter__()
        await rehearse(client)
        client._endpoint.http_session._build_verify_context()  # whatever it trusts: variables may say so
        if is_sure:
            _prepared[options, stamp] = client

    with suppress(*FAILURES, StoreError, ValueError):  # which the first request meets again, and tells
        anyio.run(prepare)


def _client(options: StoreOptions, keys: Sequence[str]) -> Any:  # noqa: ANN401 - untyped
    """Make one; nothing is opened before it is used. Raises those of `FAILURES`, and StoreError."""
    # A profile that is named comes before AWS_* variables, which may be meant for something else
    session = AioSession(profile=options.profile or ("default" if read_file(options) else None))
    session.register_component("data_loader", _descriptions())
    # Not asking first whether a body is wanted saves a way there and back for each write. And aiohttp lets
    # nobody know where a connection ends just before it asks, but the log of whoever runs the loop
    session.unregister("before-call.s3", add_expect_header)
    if options.credentials_file:
        session.set_config_variable("credentials_file", str(options.credentials_file))
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return session.create_client(
        "s3",
        region_name=options.region or None,
        endpoint_url=options.endpoint_url or None,
        config=_config(options),
        **dict(zip(names, keys, strict=False)),
    )


@cache
def _descriptions() -> Loader:
    """What botocore has read of its own files, by one process once."""
    return create_loader()


class _Session(AIOHTTPSession):  # type: ignore[misc]
    """Reads the authorities that it trusts once a process, which takes longer than a request."""

    def _build_verify_context(self) -> SSLContext:
        return _trust(verify=self._verify)


@cache
def _trust(*, verify: object) -> SSLContext:
    """`verify` is as botocore has it: False, True, or a file of authorities."""
    context: SSLContext = AIOHTTPSession(verify=verify)._build_verify_context()
    return context


def _config(options: StoreOptions) -> AioConfig:
    style = options.addressing
    if style == "auto":
        style = "path" if options.endpoint_url else "virtual"
    return AioConfig(
        http_session_cls=_Session,
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.timeout_s,
        max_pool_connections=options.max_requests,
        retries={"total_max_attempts": 1},  # ours know which requests may be sent twice
        # Content-MD5 goes with every write: the one check that all servers make, old ones too
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": style},
    )


class S3Store:
    """Objects below `prefix` of a bucket. `dialect` is "" until a write has shown how it takes an ETag."""

    def __init__(self, client: Any, bucket: str, prefix: str, options: StoreOptions) -> None:  # noqa: ANN401 - untyped
        self._client = client
        self._bucket = bucket
        self.prefix = prefix
        self._prefix = f"{prefix}/" if prefix else ""
        self._limit = anyio.Semaphore(options.max_requests)
        self._patience = Patience(options.retry_s)
        self._timeout_s = options.timeout_s
        self.dialect = ""

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        place = self._place(key)
        if end is not None and end <= start:
            return b"", await self._tag(key, place)
        if start or end is not None:
            place["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            return await self._patience.ask(lambda: self._get(key, place))
        except BeyondEndError:
            return b"", await self._tag(key, self._place(key))

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        place = self._place(key)
        if if_match is not None:
            # Not in parts: servers ignore a condition on the last request of such an upload
            return await self._put_if(key, place, data, if_match)
        if len(data) < _MULTIPART_BYTES:
            return await self._patience.ask(lambda: self._put(key, place, data))
        return await multipart.put(partial(self._send, key), self._client, place, data)

    async def delete(self, key: str) -> None:
        place = self._place(key)
        try:
            await self._send(key, lambda: self._client.delete_object(**place))
        except NotFoundError:
            return

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        asked = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            page = await self._send(prefix, lambda: self._client.list_objects_v2(**asked))
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(self._prefix)
                yield ObjectInfo(key, found["Size"], found["LastModified"].astimezone(UTC))
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _place(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked(key)}

    async def _get(self, key: str, place: dict[str, Any]) -> Found:
        async def ask() -> Found:
            response = await self._client.get_object(**place)
            async with response["Body"] as body:
                return await body.read(), _bare(response["ETag"])

        return await self._ask(key, ask)

    async def _tag(self, key: str, place: dict[str, Any]) -> str:
        """The ETag alone. Not by HEAD: its 404 does not tell a missing object from a missing bucket."""

        async def ask() -> str:
            response = await self._client.get_object(**place)
            response["Body"].close()
            return _bare(response["ETag"])

        return await self._patience.ask(lambda: self._ask(key, ask))

    async def _put(self, key: str, place: dict[str, Any], data: bytes, **condition: str) -> str:
        _, md5 = await md5_of(data)
        request = {**place, "Body": data, "ContentMD5": md5, **condition}
        response = await self._ask(key, lambda: self._client.put_object(**request), len(data))
        return _bare(response["ETag"])

    async def _put_if(self, key: str, place: dict[str, Any], data: bytes, condition: str) -> str:
        form = self.dialect or _QUOTED

        async def put() -> str:
            nonlocal form
            try:
                tag = await self._put(key, place, data, **_header(condition, form))
            except (ConflictError, NotFoundError):
                if not self.dialect:  # if the condition holds all the same, it was not understood
                    form = _BARE if form == _QUOTED else _QUOTED
                raise ConflictError(key) from None
            if condition != "absent":
                self.dialect = form
            return tag

        return await self._patience.put_if(put, lambda: self._get(key, place), key, data, condition)

    async def _send(self, key: str, ask: Callable[[], Awaitable[T]], sent: int = 0) -> T:
        return await self._patience.ask(lambda: self._ask(key, ask, sent))

    async def _ask(self, key: str, ask: Callable[[], Awaitable[T]], sent: int = 0) -> T:
        """One request that carries `sent` bytes, translating what goes wrong."""
        # The client bounds only its reading: a server that takes no more of a body would hold us for good
        limit_s = self._timeout_s + sent / _SLOWEST if sent else None
        async with self._limit:
            try:
                with anyio.fail_after(limit_s):
                    return await ask()
            except FAILURES as error:
                raise failure(error, key) from error


def _bare(etag: str) -> str:
    return etag.strip('"')


def _header(condition: str, form: str) -> dict[str, str]:
    if condition == "absent":
        return {"IfNoneMatch": "*"}
    return {"IfMatch": f'"{condition}"' if form == _QUOTED else condition}
