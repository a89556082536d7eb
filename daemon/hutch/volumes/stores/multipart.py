"""A large object put to S3 in parts, which appears whole with the last request or not at all."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import anyio

from hutch.errors import unwrapped
from hutch.volumes.failures import StoreError
from hutch.volumes.stores.attempts import patiently
from hutch.volumes.stores.hashes import md5_of

T = TypeVar("T")

PART_BYTES = 16 << 20
_ABORT_S = 5


class Ask(Protocol):
    """Sends one request, translating what goes wrong."""

    async def __call__(self, key: str, ask: Callable[[], Awaitable[T]]) -> T: ...


async def put(ask: Ask, client: Any, key: str, place: dict[str, Any], data: bytes) -> str:  # noqa: ANN401 - untyped
    """Write the object and return its ETag.

    What a killed process leaves is parts without an object, which the bucket's owner may let expire
    (AbortIncompleteMultipartUpload).
    """
    begun = await patiently(lambda: ask(key, lambda: client.create_multipart_upload(**place)))
    upload = {**place, "UploadId": begun["UploadId"]}
    try:
        digests = await _put_parts(ask, client, key, upload, data)
        return await _complete(ask, client, key, upload, digests)
    except BaseException:
        with anyio.move_on_after(_ABORT_S, shield=True):
            await _abort(ask, client, key, upload)
        raise


async def _put_parts(
    ask: Ask,
    client: Any,  # noqa: ANN401
    key: str,
    upload: dict[str, Any],
    data: bytes,
) -> list[tuple[bytes, str]]:
    """The MD5 and the ETag of each part."""
    view = memoryview(data)
    parts = [view[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
    done: dict[int, tuple[bytes, str]] = {}

    async def put_part(number: int, part: memoryview) -> None:
        body = bytes(part)
        digest, text = await md5_of(body)
        sent = {**upload, "PartNumber": number, "Body": body, "ContentMD5": text}
        response = await patiently(lambda: ask(key, lambda: client.upload_part(**sent)))
        done[number] = (digest, response["ETag"])

    with unwrapped():
        async with anyio.create_task_group() as tasks:
            for number, part in enumerate(parts, 1):
                tasks.start_soon(put_part, number, part)
    return [done[number] for number in sorted(done)]


async def _complete(
    ask: Ask,
    client: Any,  # noqa: ANN401
    key: str,
    upload: dict[str, Any],
    parts: list[tuple[bytes, str]],
) -> str:
    listed = [{"PartNumber": number, "ETag": etag} for number, (_, etag) in enumerate(parts, 1)]
    request = {**upload, "MultipartUpload": {"Parts": listed}}
    try:
        await patiently(lambda: ask(key, lambda: client.complete_multipart_upload(**request)))
    except StoreError:
        # The answer to a request that had completed it may have got lost; then the next one finds no upload
        tag = await _tag_of(ask, client, key, upload)
        digest = hashlib.md5(b"".join(md5 for md5, _ in parts), usedforsecurity=False).hexdigest()
        if tag == f"{digest}-{len(parts)}":
            return tag
        raise
    return await _tag_of(ask, client, key, upload)  # Ceph does not tell it in its answer


async def _tag_of(ask: Ask, client: Any, key: str, upload: dict[str, Any]) -> str:  # noqa: ANN401
    place = {name: upload[name] for name in ("Bucket", "Key")}
    response = await patiently(lambda: ask(key, lambda: client.head_object(**place)))
    return str(response["ETag"]).strip('"')


async def _abort(ask: Ask, client: Any, key: str, upload: dict[str, Any]) -> None:  # noqa: ANN401
    try:
        await ask(key, lambda: client.abort_multipart_upload(**upload))
    except StoreError:
        return  # it costs space until it expires
