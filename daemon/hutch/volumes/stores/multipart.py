"""A large object put to S3 in parts, which appears whole with the last request or not at all."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio

from hutch.errors import unwrapped
from hutch.volumes.failures import StoreError
from hutch.volumes.stores.hashes import md5_of

Part = tuple[bytes, str]  # its MD5 and its ETag

PART_BYTES = 16 << 20
_ABORT_S = 5


class Send(Protocol):
    """Makes one request that carries `sent` bytes, patiently. Raises StoreError."""

    async def __call__(self, ask: Callable[[], Awaitable[Any]], sent: int = 0) -> Any: ...  # noqa: ANN401


async def put(send: Send, client: Any, place: dict[str, Any], data: bytes) -> str:  # noqa: ANN401 - untyped
    """Write the object and return its ETag.

    What a killed process leaves is parts without an object, which the bucket's owner may let expire
    (AbortIncompleteMultipartUpload).
    """
    begun = await send(lambda: client.create_multipart_upload(**place))
    upload = {**place, "UploadId": begun["UploadId"]}
    try:
        parts = await _put_parts(send, client, upload, data)
        return await _complete(send, client, place, upload, parts)
    except BaseException:
        with anyio.move_on_after(_ABORT_S, shield=True):
            await _abort(send, client, upload)
        raise


async def _put_parts(send: Send, client: Any, upload: dict[str, Any], data: bytes) -> list[Part]:  # noqa: ANN401
    view = memoryview(data)
    done: dict[int, Part] = {}

    async def put_part(number: int, start: int) -> None:
        body = bytes(view[start : start + PART_BYTES])
        digest, text = await md5_of(body)
        request = {**upload, "PartNumber": number, "Body": body, "ContentMD5": text}
        response = await send(lambda: client.upload_part(**request), len(body))
        done[number] = (digest, response["ETag"])

    with unwrapped():
        async with anyio.create_task_group() as tasks:
            for number, start in enumerate(range(0, len(data), PART_BYTES), 1):
                tasks.start_soon(put_part, number, start)
    return [done[number] for number in sorted(done)]


async def _complete(
    send: Send,
    client: Any,  # noqa: ANN401
    place: dict[str, Any],
    upload: dict[str, Any],
    parts: list[Part],
) -> str:
    listed = [{"PartNumber": number, "ETag": etag} for number, (_, etag) in enumerate(parts, 1)]
    request = {**upload, "MultipartUpload": {"Parts": listed}}
    try:
        await send(lambda: client.complete_multipart_upload(**request))
    except StoreError:
        # The answer to a request that had completed it may have got lost; then the next one finds no upload
        tag = await _tag_of(send, client, place)
        digest = hashlib.md5(b"".join(md5 for md5, _ in parts), usedforsecurity=False).hexdigest()
        if tag == f"{digest}-{len(parts)}":
            return tag
        raise
    return await _tag_of(send, client, place)  # Ceph does not tell it in its answer


async def _tag_of(send: Send, client: Any, place: dict[str, Any]) -> str:  # noqa: ANN401
    response = await send(lambda: client.head_object(**place))
    return str(response["ETag"]).strip('"')


async def _abort(send: Send, client: Any, upload: dict[str, Any]) -> None:  # noqa: ANN401
    try:
        await send(lambda: client.abort_multipart_upload(**upload))
    except StoreError:
        return  # it costs space until it expires
