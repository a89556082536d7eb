"""MD5 as a checksum: the one that every S3 server compares with what arrived."""

import base64
import hashlib

from anyio import to_thread

_THREAD_BYTES = 256 << 10  # hashing more than this would hold the event loop for half a millisecond


async def md5_of(data: bytes) -> tuple[bytes, str]:
    """The digest, and its form in a Content-MD5 header."""
    digest = _md5(data) if len(data) < _THREAD_BYTES else await to_thread.run_sync(_md5, data)
    return digest, base64.b64encode(digest).decode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
