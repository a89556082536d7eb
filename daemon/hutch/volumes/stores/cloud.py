"""A store in a container of Azure Blob Storage or a bucket of Google Cloud Storage, by obstore."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, TypeVar

import anyio
import obstore
from obstore.store import AzureStore, GCSStore

from hutch.volumes.failures import ConflictError, NotFoundError
from hutch.volumes.stores.attempts import Found, Patience
from hutch.volumes.stores.cloud_failures import FAILURES, failure
from hutch.volumes.stores.keys import checked
from hutch.volumes.stores.options import StoreOptions, read_file, values_of
from hutch.volumes.stores.protocol import Condition, ObjectInfo
from hutch.volumes.stores.refusals import BeyondEndError

if TYPE_CHECKING:
    from obstore import ListStream, ObjectMeta, PutMode
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig

T = TypeVar("T")

_PART_BYTES = 8 << 20  # the time limit is one request's, so each must be one that a slow line can do
_PAGE = 1000
_WHOLE = timedelta(minutes=10)
_NO_RETRY: "RetryConfig" = {"max_retries": 0}  # ours know which requests may be sent twice


def open_azure(container: str, prefix: str, options: StoreOptions) -> "CloudStore":
    """A container. Asks the server nothing yet."""
    config: AzureConfig = {}
    if options.account:
        config["account_name"] = options.account
    if options.endpoint_url:
        config["endpoint"] = options.endpoint_url
    if secret := _secret(options):
        # A shared access signature is a query, a key is base64
        if "sig=" in secret:
            config["sas_key"] = secret.removeprefix("?")
        else:
            config["account_key"] = secret
    try:
        made = AzureStore(container, config=config, client_options=_client(options), retry_config=_NO_RETRY)
    except FAILURES as error:
        raise failure(error, "") from error
    return CloudStore(made, prefix, options, tag="e_tag")


def open_google(bucket: str, prefix: str, options: StoreOptions) -> "CloudStore":
    """A bucket. Asks the server nothing yet."""
    config: GCSConfig = {}
    if options.endpoint_url:
        config["base_url"] = options.endpoint_url
    if secret := _secret(options):
        config["service_account_key"] = secret
    try:
        made = GCSStore(bucket, config=config, client_options=_client(options), retry_config=_NO_RETRY)
    except FAILURES as error:
        raise failure(error, "") from error
    # Google's conditions compare the generation, a number that each write raises, not the ETag
    return CloudStore(made, prefix, options, tag="version")


def _secret(options: StoreOptions) -> str:
    return read_file(options) or next(iter(values_of(options)), "")


def _client(options: StoreOptions) -> "ClientConfig":
    return {
        "allow_http": options.endpoint_url.startswith("http:"),
        "connect_timeout": timedelta(seconds=options.connect_timeout_s),
        "read_timeout": timedelta(seconds=options.timeout_s),
        "timeout": _WHOLE,
    }


class CloudStore:
    """Objects below `prefix`. `tag` is the property that a condition compares: "e_tag" or "version"."""

    dialect = ""

    def __init__(self, inner: AzureStore | GCSStore, prefix: str, options: StoreOptions, *, tag: str) -> None:
        self._inner = inner
        self._prefix = f"{prefix}/" if prefix else ""
        self._limit = anyio.Semaphore(options.max_requests)
        self._patience = Patience(options.retry_s)
        self._tag = tag

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        path = self._path(key)
        if end is not None and end <= start:
            return b"", await self._patience.ask(lambda: self._get_tag(key, path))
        try:
            return await self._patience.ask(lambda: self._get(key, path, start, end))
        except BeyondEndError:
            return b"", await self._patience.ask(lambda: self._get_tag(key, path))

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        path = self._path(key)
        if if_match is None:
            return await self._patience.ask(lambda: self._put(key, path, data, "overwrite"))
        mode: PutMode = "create" if if_match == "absent" else self._update(if_match)

        async def put() -> str:
            try:
                return await self._put(key, path, data, mode)
            except NotFoundError:
                raise ConflictError(key) from None

        return await self._patience.put_if(put, lambda: self._get(key, path, 0, None), key, data, if_match)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            await self._patience.ask(lambda: self._ask(key, lambda: obstore.delete_async(self._inner, path)))
        except NotFoundError:
            return

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        whole = self._prefix + prefix
        folder = whole.rpartition("/")[0]  # obstore lists folders; ours may end in the middle of a name
        pages = _Pages(self._inner, folder)
        while page := await self._patience.ask(lambda: self._ask(prefix, pages.take)):
            for found in page:
                if found["path"].startswith(whole):
                    key = found["path"].removeprefix(self._prefix)
                    yield ObjectInfo(key, found["size"], found["last_modified"].astimezone(UTC))

    def _path(self, key: str) -> str:
        return self._prefix + checked(key)

    def _update(self, tag: str) -> "PutMode":
        return {"e_tag": tag} if self._tag == "e_tag" else {"version": tag}

    async def _get(self, key: str, path: str, start: int, end: int | None) -> Found:
        async def ask() -> Found:
            if end is not None:
                result = await obstore.get_async(self._inner, path, options={"range": (start, end)})
            elif start:
                result = await obstore.get_async(self._inner, path, options={"range": {"offset": start}})
            else:
                result = await obstore.get_async(self._inner, path)
            return bytes(await result.bytes_async()), self._tag_of(dict(result.meta))

        return await self._ask(key, ask)

    async def _get_tag(self, key: str, path: str) -> str:
        """Not by HEAD: its 404 does not tell a missing object from a missing container."""

        async def ask() -> str:
            result = await obstore.get_async(self._inner, path)
            return self._tag_of(dict(result.meta))

        return await self._ask(key, ask)

    async def _put(self, key: str, path: str, data: bytes, mode: "PutMode") -> str:
        is_large = mode == "overwrite" and len(data) > _PART_BYTES

        async def ask() -> str:
            result = await obstore.put_async(
                self._inner, path, data, mode=mode, use_multipart=is_large, chunk_size=_PART_BYTES
            )
            return self._tag_of(dict(result))

        return await self._ask(key, ask)

    def _tag_of(self, properties: dict[str, object]) -> str:
        return str(properties[self._tag])

    async def _ask(self, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        async with self._limit:
            try:
                return await ask()
            except FAILURES as error:
                raise failure(error, key) from error


class _Pages:
    """A listing that goes on after the last page that came, where one did not."""

    def __init__(self, inner: AzureStore | GCSStore, folder: str) -> None:
        self._inner = inner
        self._folder = folder
        self._last: str | None = None
        self._stream = self._begun()

    async def take(self) -> "Sequence[ObjectMeta]":
        """The next page; empty: there is none."""
        try:
            page = await anext(self._stream)
        except StopAsyncIteration:
            return []
        except BaseException:
            self._stream = self._begun()
            raise
        self._last = page[-1]["path"]
        return page

    def _begun(self) -> "ListStream[Sequence[ObjectMeta]]":
        return obstore.list(self._inner, self._folder, offset=self._last, chunk_size=_PAGE)
