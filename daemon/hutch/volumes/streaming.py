"""Commits what changes in a working folder while a run works in it.

The folder is written by a sandbox. Nothing that it says of itself is believed: each commit compares.
"""

import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from hutch.errors import HutchError
from hutch.volumes.clock import Clock
from hutch.volumes.copies import Copies, Copy
from hutch.volumes.failures import LeaseLostError
from hutch.volumes.freezing import Freezer
from hutch.volumes.stream_status import StreamStatus
from hutch.volumes.threads import first_error

_log = logging.getLogger(__name__)
_START_S = 0.2  # a run that ends before needs no stream: its last commit is near
_SHARE = 0.1  # of the time that looking at the folder may take
_PAUSE_S = 0.2  # between two looks at least
_BACKOFF_S = (0.5, 30.0)  # after a failure: first, and at most
_FINISH_S = 5.0  # for a commit under way when the run ends

OnEvent = Callable[[StreamStatus], None]


class Stream:
    """One working folder while a run works in it. `status` is always up to date."""

    def __init__(
        self,
        copies: Copies,
        copy: Copy,
        run_id: str,
        clock: Clock,
        freezer: Freezer | None,
        on_event: OnEvent,
    ) -> None:
        self.status = StreamStatus()
        self._copies = copies
        self._copy = copy
        self._run_id = run_id
        self._clock = clock
        self._on_event = on_event
        self._freezer = freezer
        self._turn = anyio.Lock()
        self._failures = 0

    async def run(self) -> None:
        """Commit again and again until cancelled, or until the lease is lost."""
        await anyio.sleep(_START_S)
        while not self._copy.lease.lost.is_set():
            began = self._clock.monotonic()
            async with self._turn:
                pause = await self._cycle()
            took = self._clock.monotonic() - began
            await anyio.sleep(max(pause, took * (1 / _SHARE - 1)))
        self._tell(problem="the lease was taken over: this run commits nothing any more", has_ended=True)

    async def finish(self) -> None:
        """Let a commit under way come to its end, for a while."""
        with anyio.move_on_after(_FINISH_S, shield=True):
            async with self._turn:
                return

    async def _cycle(self) -> float:
        """Commit once; returns how long to rest."""
        try:
            snapshot = await self._copies.commit_while_running(self._copy, self._run_id)
        except LeaseLostError:
            return 0
        except HutchError as error:
            return self._failed(error.message)
        except OSError as error:
            return self._failed(f"the working folder cannot be read: {error.strerror}")
        except Exception:  # noqa: BLE001 - logged, told, and no reason to end a run
            # A mistake of ours must not end the run: its last commit compares everything all the same.
            _log.exception("volume %s: an error that nobody expected", self._copy.lease.name)
            return self._failed("an internal error; the daemon's log has the details")
        self._failures = 0
        if snapshot:
            self._tell(
                snapshot=snapshot.number,
                committed_at=snapshot.created_at,
                commits=self.status.commits + 1,
                problem=None,
            )
        elif self.status.problem:
            self._tell(problem=None)
        return _PAUSE_S

    def _failed(self, why: str) -> float:
        self._failures += 1
        first, most = _BACKOFF_S
        if self._failures == 1:
            _log.warning("volume %s: not streamed for now: %s", self._copy.lease.name, why)
            self._tell(problem=f"since {self._clock.now():%H:%M:%SZ}: {why}; it is tried again")
        pause: float = min(most, first * 2.0 ** min(self._failures - 1, 10))
        return pause * random.uniform(0.5, 1)  # noqa: S311 - jitter

    def _tell(self, **changes: object) -> None:
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
        self._on_event(self.status)


@asynccontextmanager
async def streaming(
    copies: Copies,
    copy: Copy,
    run_id: str,
    clock: Clock,
    *,
    freezer: Freezer | None = None,
    on_event: OnEvent | None = None,
) -> AsyncGenerator[Stream]:
    """Stream for the length of the block. The run's last commit comes after it, when its sandbox is dead."""
    copy.began = copy.began or copy.state
    stream = Stream(copies, copy, run_id, clock, freezer, on_event or _nobody)
    with first_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            try:
                yield stream
            finally:
                await stream.finish()
                tasks.cancel_scope.cancel()


def _nobody(status: StreamStatus) -> None:
    pass
