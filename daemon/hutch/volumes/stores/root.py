"""The object that says "this is the store": without it an unmounted folder would look like an empty one."""

import json
import secrets

from hutch.volumes.failures import ConflictError, DamagedError, NotFoundError, StoreError
from hutch.volumes.stores.protocol import ObjectStore

ROOT_KEY = "hutch-store.json"
_BACK = "mount it or restore it. If volumes are to begin anew here, stop the daemon and remove {memory}"


async def claim_root(store: ObjectStore, known: str, memory: str) -> str:
    """The store's id. `known` is the one it had when it was last used, "" if it never was: then it is made.

    Raises:
        StoreError: `store_gone` or `store_changed`: not the store that `known` names.
    """
    if known:
        await assert_root(store, known, memory)
        return known
    made = secrets.token_hex(16)
    try:
        await store.put(ROOT_KEY, json.dumps({"format": 1, "id": made}).encode() + b"\n", if_match="absent")
    except ConflictError:
        return await _read(store)
    return made


async def assert_root(store: ObjectStore, known: str, memory: str) -> None:
    """Raises StoreError where the store is gone or another stands in its place; invariant 7."""
    hint = _BACK.format(memory=memory)
    try:
        found = await _read(store)
    except NotFoundError:
        raise StoreError(
            "the store is empty, and it was not: it is not mounted, or it was removed", "store_gone", hint
        ) from None
    if found != known:
        raise StoreError(
            f"this is another store than before: its id is {found}, not {known}", "store_changed", hint
        )


async def _read(store: ObjectStore) -> str:
    data, _ = await store.get(ROOT_KEY)
    try:
        found = json.loads(data)["id"]
    except (ValueError, KeyError, TypeError):
        raise DamagedError(f"object {ROOT_KEY!r}", "it does not hold the store's id") from None
    return str(found)
