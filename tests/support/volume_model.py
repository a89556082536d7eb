"""Hosts for the model test: each works in a task of its own, holds at most one lease, and can be cut off."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from hutch.volumes import Lease, ObjectInfo, ObjectStore, StoreError, Volumes
from hutch.volumes.stores.protocol import Condition
from support.volume_engine import WEB, HandClock

Files = dict[str, bytes]
Work = Callable[[], Awaitable[Any]]


class Cable:
    """The way to a store, which can be cut for good: to the other side the machine is dead."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.is_cut = False

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> tuple[bytes, str]:
        self._pass()
        return await self._inner.get(key, start=start, end=end)

    async def put(self, key: str, data: bytes, *, if_match: Condition = None) -> str:
        self._pass()
        return await self._inner.put(key, data, if_match=if_match)

    async def delete(self, key: str) -> None:
        self._pass()
        await self._inner.delete(key)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo]:
        self._pass()
        async for info in self._inner.list(prefix):
            yield info

    def _pass(self) -> None:
        if self.is_cut:
            raise StoreError("the cable is cut")


class ModelHost:
    """One machine. What it holds in `files` is what its folder should hold."""

    def __init__(self, store: ObjectStore, cache: Path, clock: HandClock) -> None:
        self._store = store
        self._cache = cache
        self._clock = clock
        self.files: Files = {}
        self.committed: Files = {}  # what its folder held when it last equalled a snapshot
        self.renewed_at = 0.0
        self.start()

    def start(self) -> None:
        """A new daemon on what an old one left."""
        self.cable = Cable(self._store)
        self.volumes = Volumes(self.cable, self._cache, clock=self._clock)
        self.lease: Lease | None = None
        self.folder: Path | None = None
        self.stack = AsyncExitStack()

    @property
    def is_dirty(self) -> bool:
        return self.files != self.committed

    async def serve(self, *, task_status: TaskStatus[Any]) -> None:
        """Do one thing after the other, so that a lease is entered and left by the same task."""
        send, receive = anyio.create_memory_object_stream[tuple[Work, list[Any], anyio.Event]](0)
        task_status.started(send)
        async with receive:
            async for work, answer, done in receive:
                try:
                    answer.append(await work())
                except Exception as error:  # noqa: BLE001 - the asker judges it
                    answer.append(error)
                done.set()

    async def acquire(self) -> None:
        async with AsyncExitStack() as stack:
            lease = await stack.enter_async_context(self.volumes.lease(WEB, "run", create=True))
            self.folder = await self.volumes.check_out(lease)
            self.lease = lease
            self.stack = stack.pop_all()
        self.renewed_at = self._clock.ticks

    async def leave(self) -> None:
        self.lease = self.folder = None
        await self.stack.aclose()

    async def break_off(self) -> None:
        """Leave as a daemon does that dies: the store hears nothing of it."""
        self.lease = self.folder = None
        self.cable.is_cut = True
        await self.stack.__aexit__(RuntimeError, RuntimeError("broken off"), None)
