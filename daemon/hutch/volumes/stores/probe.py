"""Shows by real races that a store honours conditions: some accept the headers and write all the same."""

import secrets

import anyio

from hutch.errors import unwrapped
from hutch.volumes.failures import ConflictError, StoreError
from hutch.volumes.stores.attempts import UNSAFE
from hutch.volumes.stores.protocol import Condition, ObjectStore

_RACERS = 16
_CLEAN_S = 5


async def prove_conditions(store: ObjectStore) -> None:
    """Race for an object of its own. Raises StoreError `store_unsafe` where more than one writer wins."""
    key = f"probes/{secrets.token_hex(16)}"
    try:
        first = await _race(store, key, "absent")
        second = await store.put(key, _body(), if_match=first)
        await _refuse(store, key, first)
        await _refuse(store, key, "absent")
        await _race(store, key, second)
    finally:
        with anyio.move_on_after(_CLEAN_S, shield=True):
            await _clean(store, key)


async def _race(store: ObjectStore, key: str, condition: Condition) -> str:
    """The tag of the only winner."""
    bodies = [_body() for _ in range(_RACERS)]
    won: dict[bytes, str] = {}

    async def write(body: bytes) -> None:
        try:
            won[body] = await store.put(key, body, if_match=condition)
        except ConflictError:
            return

    with unwrapped():
        async with anyio.create_task_group() as tasks:
            for body in bodies:
                tasks.start_soon(write, body)
    found, tag = await store.get(key)
    if list(won) != [found] or won[found] != tag:
        raise _unsafe(f"{len(won)} of {_RACERS} writers won a race that one may win")
    return tag


async def _refuse(store: ObjectStore, key: str, condition: Condition) -> None:
    try:
        await store.put(key, _body(), if_match=condition)
    except ConflictError:
        return
    raise _unsafe("a write was accepted though its condition did not hold")


async def _clean(store: ObjectStore, key: str) -> None:
    try:
        await store.delete(key)
    except StoreError:
        return  # a few bytes, under a key that nobody asks for


def _body() -> bytes:
    return secrets.token_bytes(16)


def _unsafe(seen: str) -> StoreError:
    return StoreError(f"the store does not honour conditions: {seen}", "store_unsafe", UNSAFE)
