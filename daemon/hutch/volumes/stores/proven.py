"""A store that is used once it has shown what volumes stand on, and believed while it is the same one."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Protocol

import anyio

from hutch.volumes.failures import NotFoundError, StoreError
from hutch.volumes.stores.probe import prove_conditions
from hutch.volumes.stores.protocol import Condition, ObjectInfo, ObjectStore, TidyStore
from hutch.volumes.stores.remembered import StoreMemory
from hutch.volumes.stores.root import ROOT_KEY, assert_root, claim_root


class PlainStore(ObjectStore, Protocol):
    """A store before it is proven. `dialect` is what a proof finds out of the server's ways, else ""."""

    dialect: str


class ProvenStore:
    """Around a store of any kind, which this host remembers by `place`.

    Nothing is asked before the first request, so a daemon starts while its store cannot be reached. That
    request claims the store's root and, where it is not remembered, has it prove its conditions.
    """

    def __init__(
        self, inner: PlainStore, place: str, memory: StoreMemory, on_claim: Callable[[str], None] | None
    ) -> None:
        self.inner = inner
        self.place = place
        self._memory = memory
        self._on_claim = on_claim  # is told the root's key
        self._proving = anyio.Lock()  # one proof at a time
        self._root = ""
        self._proven_at: datetime | None = None
        self._refusal: StoreError | None = None  # a store that was found unsafe is not asked again and again
        self._failure: tuple[float, StoreError] | None = None  # when the last proof failed, and why

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        await self.prove()
        try:
            return await self.inner.get(key, start=start, end=end)
        except NotFoundError:
            await self._assert_root()
            raise

    async def tidy(self) -> int:
        return await self.inner.tidy() if isinstance(self.inner, TidyStore) else 0

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        await self.prove()
        return await self.inner.put(key, data, if_match=if_match)

    async def delete(self, key: str) -> None:
        await self.prove()
        await self.inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        await self.prove()
        is_empty = True
        async for info in self.inner.list(prefix):
            is_empty = False
            yield info
        if is_empty:
            await self._assert_root()

    async def prove(self, *, fresh: bool = False) -> datetime:
        """When its conditions were proven. `fresh`: now. Raises StoreError."""
        if self._proven_at and not fresh:
            return self._proven_at
        asked_at = anyio.current_time()
        async with self._proving:
            if self._proven_at and not fresh:  # while we waited
                return self._proven_at
            if self._failure and self._failure[0] >= asked_at:  # while we waited: no use in asking at once
                raise self._failure[1]
            if self._refusal and not fresh:
                raise self._refusal
            try:
                return await self._prove(fresh=fresh)
            except StoreError as error:
                self._failure = (anyio.current_time(), error)
                raise

    async def _prove(self, *, fresh: bool) -> datetime:
        await self._claim()
        proof = self._memory.proof(self.place)
        if fresh or proof.get("root") != self._root:
            proof = await self._race()
        self.inner.dialect = proof["dialect"]
        self._proven_at = datetime.fromisoformat(proof["proven_at"])
        return self._proven_at

    async def _claim(self) -> None:
        known = self._memory.root(self.place)
        self._root = await claim_root(self.inner, known, str(self._memory.roots))
        if not known:
            self._memory.keep_root(self.place, self._root)
        if self._on_claim:
            self._on_claim(ROOT_KEY)

    async def _race(self) -> dict[str, str]:
        self.inner.dialect = ""  # the server may be another one by now
        try:
            await prove_conditions(self.inner)
        except StoreError as error:
            if error.code == "store_unsafe":
                self._refusal, self._proven_at = error, None
            raise
        self._refusal = None
        proof = {
            "root": self._root,
            "dialect": self.inner.dialect,
            "proven_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._memory.keep_proof(self.place, proof)
        return proof

    async def _assert_root(self) -> None:
        """Before "not there" is believed: an emptied store must not look like one without volumes."""
        await assert_root(self.inner, self._root, str(self._memory.roots))
