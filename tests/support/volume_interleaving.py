"""A store that lets something else happen just before its n-th request."""

from collections.abc import AsyncGenerator, Awaitable, Callable

from hutch.volumes import ObjectInfo, ObjectStore
from hutch.volumes.stores.protocol import Condition

Work = Callable[[], Awaitable[object]]


class InterposedStore:
    """Before request number `at` (from 1) does `work` once. With 0 it only counts `requests`."""

    def __init__(self, inner: ObjectStore, at: int = 0, work: Work | None = None) -> None:
        self._inner = inner
        self._at = at
        self._work = work
        self.requests = 0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        await self._interpose()
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        await self._interpose()
        return await self._inner.put(key, data, if_match=if_match)

    async def delete(self, key: str) -> None:
        await self._interpose()
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        await self._interpose()
        async for info in self._inner.list(prefix):
            yield info

    async def _interpose(self) -> None:
        self.requests += 1
        if self.requests == self._at and self._work:
            await self._work()
