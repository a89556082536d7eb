"""Requests over a network: tried again where that can help, believed only where the answer is sure."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from hutch.volumes.failures import ConflictError, NotFoundError, StoreError
from hutch.volumes.stores.protocol import Condition

T = TypeVar("T")
Found = tuple[bytes, str]

UNSAFE = "volumes need a store with conditional writes: a folder, S3, Ceph, MinIO, R2, Azure or Google"
_ATTEMPTS = 8  # where a third of all answers is an error, one request in 6,500 fails
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class TransientError(StoreError):
    """The store may answer if it is asked once more."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is repeated: no attempt is begun when `limit_s` seconds are over."""

    limit_s: float

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer other than TransientError.

        Only for what may be done twice: reads, deletes, and writes without a condition.
        """
        async for is_last in self._attempts():
            try:
                return await request()
            except TransientError:
                if is_last:
                    raise
        raise AssertionError("the last attempt returned or raised")

    async def put_if(
        self,
        put: Callable[[], Awaitable[str]],
        get: Callable[[], Awaitable[Found]],
        key: str,
        data: bytes,
        condition: Condition,
    ) -> str:
        """Write under a condition over a network that loses answers.

        A refusal may be the echo of our own write: its answer got lost and the HTTP client, or we, sent it
        once more. So after every doubtful answer the key is read. Bytes equal to ours are ours, for what is
        written under a condition carries a nonce.

        Raises:
            ConflictError: something else stands there.
            StoreError: it may have been written, or may yet be.
        """
        async for is_last in self._attempts():
            try:
                return await put()
            except (ConflictError, TransientError) as error:
                failure = error
            found = await self._read(get)
            if found and found[0] == data:
                return found[1]
            if not _holds(condition, found):
                raise ConflictError(key)
            if is_last and isinstance(failure, ConflictError):
                raise StoreError(
                    f"object {key!r}: refused though the condition holds", "store_unsafe", UNSAFE
                )
            if is_last:
                raise failure
        raise AssertionError("the last attempt returned or raised")

    async def _read(self, get: Callable[[], Awaitable[Found]]) -> Found | None:
        try:
            return await self.ask(get)
        except NotFoundError:
            return None

    async def _attempts(self) -> AsyncGenerator[bool]:
        """One item per attempt: whether it is the last. Pauses are random: many must not come at once."""
        end = anyio.current_time() + self.limit_s
        for number in range(1, _ATTEMPTS):
            if anyio.current_time() > end:
                break
            yield False
            longest = min(_FIRST_PAUSE_S * 2**number, _LONGEST_PAUSE_S)
            await anyio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret hangs on it
        yield True


def _holds(condition: Condition, found: Found | None) -> bool:
    return found is None if condition == "absent" else found is not None and found[1] == condition
