"""Stores around a store: one counts requests, one fails on purpose."""

from collections import Counter
from collections.abc import AsyncGenerator

from hutch.volumes.failures import StoreError
from hutch.volumes.stores.protocol import Condition, ObjectInfo, ObjectStore


class CountingStore:
    """Counts requests by kind in `requests`, and the bytes they carried in `sent` and `received`."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self.received = 0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        self.requests["get"] += 1
        data, tag = await self._inner.get(key, start=start, end=end)
        self.received += len(data)
        return data, tag

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        self.requests["put"] += 1
        self.sent += len(data)
        return await self._inner.put(key, data, if_match=if_match)

    async def delete(self, key: str) -> None:
        self.requests["delete"] += 1
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        self.requests["list"] += 1
        async for info in self._inner.list(prefix):
            yield info


class FaultyStore:
    """Fails at the n-th write, before it takes effect or after it did (an answer lost on its way).

    With `stays_down` every request after that fails as well: to the caller the world ended there.
    """

    def __init__(
        self, inner: ObjectStore, *, fail_at: int, after: bool = False, stays_down: bool = True
    ) -> None:
        self._inner = inner
        self._fail_at = fail_at
        self._after = after
        self._stays_down = stays_down
        self.writes = 0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        self._answer(key)
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        self._begin_write(key)
        tag = await self._inner.put(key, data, if_match=if_match)
        self._end_write(key)
        return tag

    async def delete(self, key: str) -> None:
        self._begin_write(key)
        await self._inner.delete(key)
        self._end_write(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        self._answer(prefix)
        async for info in self._inner.list(prefix):
            yield info

    @property
    def has_failed(self) -> bool:
        return self.writes >= self._fail_at

    def _answer(self, key: str) -> None:
        if self._stays_down and self.has_failed:
            raise StoreError(f"the store is down (asked for {key})")

    def _begin_write(self, key: str) -> None:
        self._answer(key)
        self.writes += 1
        if self.writes == self._fail_at and not self._after:
            raise StoreError(f"the store failed before writing {key}")

    def _end_write(self, key: str) -> None:
        if self.writes == self._fail_at and self._after:
            raise StoreError(f"the store failed after writing {key}")
