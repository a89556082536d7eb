"""What a key may be, the same in every store."""

import re

from hutch.volumes.failures import StoreError

_KEY = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]*(/[A-Za-z0-9_@-][A-Za-z0-9._@-]*)*")
_LONGEST = 900  # S3 and Azure take 1024 bytes with the store's own prefix


def checked(key: str) -> str:
    """The key. Raises StoreError for what is none, in one store as in another."""
    if len(key) > _LONGEST or not _KEY.fullmatch(key):
        raise StoreError(f"not a key: {key[:200]!r}")
    return key
