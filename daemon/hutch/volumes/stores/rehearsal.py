"""Takes requests of an S3 client the whole way but over the network.

botocore makes its notion of a service from the service's description piece by piece, as requests and answers
need it: for the first ones of a process that takes longer than all else about them.
"""

from contextlib import suppress
from typing import Any

from aiobotocore.awsrequest import AioAWSResponse
from botocore.exceptions import ClientError

_HEADERS = {
    "etag": '"tag"',
    "content-type": "application/xml",
    "date": "Sun, 22 Nov 2026 00:00:00 GMT",
    "last-modified": "Sun, 22 Nov 2026 00:00:00 GMT",
}
_MISSING = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Key>key</Key></Error>'
_PLACE = {"Bucket": "bucket", "Key": "key"}


async def rehearse(client: Any) -> None:  # noqa: ANN401 - untyped
    """Have it read an object, look for one that is not there, and write one. Nothing is sent."""
    await _answered(client, 200, b"", client.get_object(**_PLACE))
    with suppress(ClientError):
        await _answered(client, 404, _MISSING, client.get_object(**_PLACE))
    await _answered(client, 200, b"", client.put_object(**_PLACE, Body=b"", ContentMD5="", IfMatch='"tag"'))


async def _answered(client: Any, status: int, body: bytes, asked: Any) -> None:  # noqa: ANN401
    def answer(request: Any, **_: object) -> AioAWSResponse:  # noqa: ANN401
        return AioAWSResponse(request.url, status, {**_HEADERS, "content-length": str(len(body))}, _Raw(body))

    client.meta.events.register("before-send.s3", answer)
    try:
        await asked
    finally:
        client.meta.events.unregister("before-send.s3", answer)


class _Raw:
    """What is left to be read of an answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body
