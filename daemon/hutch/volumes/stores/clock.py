"""The time by a store's own clock: the only one by which the age of an object is judged (invariant 10)."""

from datetime import datetime

from hutch.volumes.failures import StoreError
from hutch.volumes.stores.protocol import ObjectStore

_KEY = "clock"


async def store_now(store: ObjectStore) -> datetime:
    """Put an object and see when the store says that was. Raises StoreError."""
    await store.put(_KEY, b"tick\n")
    async for info in store.list(_KEY):
        if info.key == _KEY:
            return info.modified_at
    raise StoreError("the store does not list what was put into it just now")
