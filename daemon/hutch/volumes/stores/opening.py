"""A store by its URL: a folder, S3, Azure Blob Storage or Google Cloud Storage."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from hutch.volumes.failures import StoreError
from hutch.volumes.stores.directory import DirectoryStore
from hutch.volumes.stores.keys import checked
from hutch.volumes.stores.options import StoreOptions
from hutch.volumes.stores.protocol import Condition, ObjectInfo
from hutch.volumes.stores.proven import PlainStore, ProvenStore
from hutch.volumes.stores.remembered import StoreMemory

_FORM = "write file:///FOLDER, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX"


@asynccontextmanager
async def open_store(url: str, options: StoreOptions, memory: StoreMemory) -> AsyncGenerator[ProvenStore]:
    """The store, closed with the block. Asks it nothing yet; what is wrong, every request says."""
    parts = urlsplit(url)
    place = f"{url.rstrip('/')} {options.endpoint_url} {options.account}".strip()
    async with AsyncExitStack() as stack:
        on_claim = None
        try:
            if parts.scheme == "file":
                store: PlainStore = (folder := DirectoryStore(_folder(parts)))
                on_claim = folder.require
            else:
                store = await stack.enter_async_context(_open_remote(parts, options))
        except StoreError as error:
            store = _UnopenedStore(error)
        yield ProvenStore(store, place, memory, on_claim)


def prepare_store(url: str, options: StoreOptions) -> None:
    """Have in memory what is needed to use a store at this URL: whoever is forked from us has it too.

    Nothing is asked, and nothing refused: what is wrong, the first request says.
    """
    match urlsplit(url).scheme:
        case "s3":
            from hutch.volumes.stores.s3 import prepare_s3

            prepare_s3(options)
        case "az" | "gs":
            import hutch.volumes.stores.cloud  # noqa: F401 - it is the import that takes time
        case _:
            pass  # of a folder everything is there, and what is wrong is said by its requests


class _UnopenedStore:
    """In the place of a store that could not be opened: a daemon serves what needs no volume all the same."""

    dialect = ""

    def __init__(self, error: StoreError) -> None:
        self._error = error

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        raise self._error

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        raise self._error

    async def delete(self, key: str) -> None:
        raise self._error

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        raise self._error
        yield


@asynccontextmanager
async def _open_remote(parts: SplitResult, options: StoreOptions) -> AsyncGenerator[PlainStore]:
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if prefix:
        checked(prefix)
    if not bucket or parts.query or parts.fragment:
        raise _invalid(parts)
    match parts.scheme:  # each import takes time, for those who need it
        case "s3":
            from hutch.volumes.stores.s3 import open_s3

            async with open_s3(bucket, prefix, options) as store:
                yield store
        case "az":
            from hutch.volumes.stores.cloud import open_azure

            yield open_azure(bucket, prefix, options)
        case "gs":
            from hutch.volumes.stores.cloud import open_google

            yield open_google(bucket, prefix, options)
        case _:
            raise _invalid(parts)


def _folder(parts: SplitResult) -> Path:
    folder = Path(unquote(parts.path))
    if parts.netloc or not folder.is_absolute():
        raise _invalid(parts)
    return folder


def _invalid(parts: SplitResult) -> StoreError:
    return StoreError(f"not a store's URL: {parts.geturl()!r}", "store_url_invalid", _FORM)
