"""The protocol of an object store, and the store in memory that tests use."""

import itertools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol, runtime_checkable

from hutch.volumes.failures import ConflictError, NotFoundError
from hutch.volumes.stores.keys import checked

Condition = str | Literal["absent"] | None  # an ETag that must match; nothing there yet; no condition


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing."""

    key: str
    size: int
    modified_at: datetime  # by the store's clock, in UTC: compare it with no other clock


class ObjectStore(Protocol):
    """Objects under relative ASCII keys, whose parts are of `A-Za-z0-9._@-` and never begin with a dot.

    A write is whole and durable when it returns. What is written under a condition carries a nonce: where an
    answer got lost, a store tells its own write from another's by the bytes. Every method raises StoreError;
    a write that raised it may or may not have taken effect, only ConflictError says that it did not.
    """

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        """Bytes `start` to `end` (exclusive) and the ETag. Raises NotFoundError."""
        ...

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        """Write the object and return its ETag. Raises ConflictError where the condition does not hold."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""
        ...

    def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in the order of keys."""
        ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


@runtime_checkable
class TidyStore(Protocol):
    """A store in which a write that was killed leaves something that is no object."""

    async def tidy(self) -> int:
        """Remove what such writes left a day ago or more; returns how many. Raises StoreError."""
        ...


class MemoryStore:
    """A store that ends with its process. `now` is its clock."""

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now
        self._objects: dict[str, tuple[bytes, str]] = {}
        self._modified_at: dict[str, datetime] = {}
        self._tags = itertools.count(1)

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        if checked(key) not in self._objects:
            raise NotFoundError(key)
        data, tag = self._objects[key]
        return data[start:end], tag

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        if if_match is not None:
            _, tag = self._objects.get(key, (b"", "absent"))
            if tag != if_match:
                raise ConflictError(key)
        tag = f"m{next(self._tags)}"
        self._objects[checked(key)] = (bytes(data), tag)
        self._modified_at[key] = self._now()
        return tag

    async def delete(self, key: str) -> None:
        self._objects.pop(checked(key), None)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        for key in sorted(self._objects):
            if key.startswith(prefix) and key in self._objects:
                yield ObjectInfo(key, len(self._objects[key][0]), self._modified_at[key])
