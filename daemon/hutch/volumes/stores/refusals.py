"""Refusals that last until a person mends something, the same for every kind of server."""

from hutch.volumes.failures import StoreError
from hutch.volumes.stores.attempts import UNSAFE

_HINTS = {
    "store_bucket_missing": "create the bucket or container, or correct storage.url",
    "store_credentials": "give valid credentials: storage.credentials_env, storage.credentials_file or "
    "storage.profile, or for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the daemon's environment "
    "(docs/configuration.md), and start the daemon anew",
    "store_forbidden": "these credentials need to get, put, list and delete objects in this bucket",
    "store_clock_skew": "set this machine's clock: it is too far from the server's",
    "store_region": "set storage.region to the bucket's region",
    "store_unsafe": UNSAFE,
    "store_full": "make room, or raise the quota of the bucket; nothing was thrown away",
}


class BeyondEndError(StoreError):
    """The range begins behind the object's end."""


def refused(code: str, message: str) -> StoreError:
    """An error that asking again does not mend."""
    return StoreError(message, code, _HINTS[code])
