"""A stream of jobs, some at once, their results taken in order."""

import os
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar, TypeVarTuple

import anyio
from anyio import CapacityLimiter, to_thread

T = TypeVar("T")
Args = TypeVarTuple("Args")
Job = Callable[[CapacityLimiter], Awaitable[T]]
_WORKERS = max(2, min(8, os.cpu_count() or 2))


class _Slot(Generic[T]):
    """Where a job leaves its result."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.result: list[T] = []


async def in_order(jobs: AsyncIterable[Job[T]], take: Callable[[T], Awaitable[None]]) -> None:
    """Start each job and await `take` with its result, in the order of the jobs.

    A bounded number is under way or waits to be taken. A job is given the limiter for its threads. The first
    failure ends it all.
    """
    limiter = CapacityLimiter(_WORKERS)

    async def run(job: Job[T], slot: _Slot[T]) -> None:
        slot.result.append(await job(limiter))
        slot.done.set()

    async def take_first() -> None:
        slot = window.popleft()
        await slot.done.wait()
        await take(slot.result.pop())

    window: deque[_Slot[T]] = deque()
    with first_error():
        async with anyio.create_task_group() as tasks:
            async for job in jobs:
                window.append(_Slot())
                tasks.start_soon(run, job, window[-1])
                if len(window) >= 2 * _WORKERS:
                    await take_first()
            while window:
                await take_first()


def in_thread(work: Callable[[*Args], T], *args: *Args) -> Job[T]:
    """A job that is one call in a thread."""

    async def job(limiter: CapacityLimiter) -> T:
        return await to_thread.run_sync(partial(work, *args), limiter=limiter)

    return job


@contextmanager
def first_error() -> Iterator[None]:
    """Around a task group of one's own: the first failure comes out as it is."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group.exceptions[0].__cause__
