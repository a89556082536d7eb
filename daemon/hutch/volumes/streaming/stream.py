"""Commits what changes in a working folder while a run works in it.

The folder is written by a sandbox: what is heard of it is a hint of where to look. Everything is looked at
when the stream begins, now and then, whenever there is a doubt, and by the run's last commit.
"""

import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread

from hutch.errors import HutchError
from hutch.volumes.engine import Engine
from hutch.volumes.failures import LeaseLostError, QuotaExceededError
from hutch.volumes.folder.copies import Copy
from hutch.volumes.folder.findings import StoppedError, inode_of
from hutch.volumes.log.quotas import Bound
from hutch.volumes.streaming.freezing import Freezer
from hutch.volumes.streaming.running import Piece, Running
from hutch.volumes.streaming.status import StreamStatus
from hutch.volumes.streaming.touched import QUIET_S, Touched
from hutch.volumes.streaming.watch import Watch
from hutch.volumes.threads import first_error
from hutch.volumes.tree.nodes import Folder, path_of, walk

_log = logging.getLogger(__name__)
_START_S = 0.2  # a run that ends before needs no stream: its last commit is near
_SHARE = 0.4  # of a core, at most, for commits of what was heard of
_SHARE_OF_DOUBT = 0.1  # the same for looking at everything because of a doubt
_SHARE_OF_PEACE = 0.01  # and for doing so without any reason
_LOOK_S = 10.0  # at everything, at least so far apart
_HEAR_S = 0.25
_DEAF_S = 5.0  # after an error that nobody expected
_RESTLESS_S = 1.0  # until what did not keep still is read again
_BACKOFF_S = (0.5, 30.0)  # after a failure: first, and at most
_FINISH_S = 5.0  # for a commit under way when the run ends

OnEvent = Callable[[StreamStatus], None]


class Stream:
    """One working folder while a run works in it. `status` is always up to date."""

    def __init__(self, engine: Engine, copy: Copy, running: Running, on_event: OnEvent) -> None:
        self._clock = engine.clock
        self._copy = copy
        self._on_event = on_event
        self._running = running
        self._watch = Watch(copy.place.tree)
        self._touched = Touched()
        self._told = StreamStatus()
        self._behind_since: datetime | None = None
        self._under_way = 0  # paths of the commit that is being made
        self._is_doubtful = True
        self._is_looking = False  # at everything, because of a doubt
        self._look_at = 0.0  # when everything is looked at again, doubt or not
        self._doubt_at = 0.0  # and not before this, whatever the doubt
        self._failures = 0
        self._root: int | None = None  # inode
        self._is_watching = False
        self._woken = anyio.Event()
        self._turn = anyio.Lock()  # a commit is under way

    @property
    def status(self) -> StreamStatus:
        """As it stands now."""
        files = len(self._touched) + self._under_way
        is_doubtful = self._is_doubtful or self._is_looking or self._touched.is_full
        is_behind = bool(files) or is_doubtful or bool(self._failures)
        return replace(
            self._told,
            files_behind=files,
            bytes_behind=self._told.bytes_behind if is_behind else 0,
            behind_since=(self._behind_since or self._clock.now()) if is_behind else None,
            scan_only=self._watch.scan_only,
        )

    async def run(self) -> None:
        """Commit again and again until cancelled, or until the lease is lost."""
        await anyio.sleep(_START_S)
        try:
            with suppress(Exception):  # who listens tries it again, and tells
                await self._watch_known()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen)
                tasks.start_soon(self._wake_when_lost)
                while True:
                    paths = await self._next()
                    if self._copy.lease.lost.is_set():
                        break
                    async with self._turn:
                        pause = await self._cycle(paths)
                    await anyio.sleep(pause)
                tasks.cancel_scope.cancel()
            self._tell(problem="the lease was taken over: nothing more can be committed", has_ended=True)
        finally:
            self._watch.close()

    async def finish(self) -> None:
        """Let a commit under way come to its end, for a while."""
        self._running.is_ending = True
        with anyio.move_on_after(_FINISH_S, shield=True):
            async with self._turn:
                return

    async def _watch_known(self) -> None:
        """Before the first look: what is written between it and the watch is neither seen nor heard."""
        folders = (
            (path_of(trail), inode_of(node.stat) if node.stat else 0)
            for _, trail, node in walk(self._copy.state.tree)
            if isinstance(node, Folder)
        )
        await to_thread.run_sync(self._watch.cover, folders)
        self._is_watching = True

    async def _wake_when_lost(self) -> None:
        await self._copy.lease.lost.wait()
        self._woken.set()

    async def _listen(self) -> None:
        limiter = CapacityLimiter(1)  # it waits in its thread, and must not take one from others
        while True:
            try:
                if not self._is_watching:
                    await self._watch_known()
                heard = await to_thread.run_sync(
                    self._watch.hear, _HEAR_S, limiter=limiter, abandon_on_cancel=True
                )
            except Exception:  # noqa: BLE001 - the folder is looked at all the same
                _log.exception("volume %s: nothing is heard for a while", self._copy.lease.name)
                self._is_doubtful = True
                await anyio.sleep(_DEAF_S)
                continue
            self._is_doubtful |= heard.is_doubtful
            if heard.paths:
                self._behind_since = self._behind_since or self._clock.now()
                was_empty = not len(self._touched)
                self._touched.note(heard.paths, time.monotonic())
                if was_empty or self._touched.is_full:  # else the next look comes soon enough
                    self._woken.set()

    async def _next(self) -> list[bytes] | None:
        """Wait until there is something to look at; None: everything."""
        while not self._copy.lease.lost.is_set():
            now = time.monotonic()
            is_doubtful = self._is_doubtful or self._touched.is_full
            if now >= self._look_at or (is_doubtful and now >= self._doubt_at):
                self._under_way = len(self._touched)
                self._touched.take_all()
                self._is_doubtful, self._is_looking = False, is_doubtful
                return None
            ripe = self._touched.take(now)
            if ripe:
                self._under_way = len(ripe)
                return ripe
            due = min(self._touched.due, self._look_at, self._doubt_at if is_doubtful else inf)
            if len(self._touched):  # what is heard meanwhile may be due soon after
                due = min(due, now + QUIET_S)
            self._woken = anyio.Event()
            with anyio.move_on_after(max(0.0, due - now)):
                await self._woken.wait()
        return []

    async def _cycle(self, paths: list[bytes] | None) -> float:
        """Commit once; returns how long to rest."""
        began, began_cpu = time.monotonic(), time.process_time()
        try:
            piece = await self._running.commit(paths)
            await self._follow(piece)
        except (LeaseLostError, StoppedError):
            return 0
        except HutchError as error:
            if isinstance(error, QuotaExceededError):
                self._tell(problem=error.message, is_over_quota=True)
            return self._failed(paths, error.message)
        except OSError as error:
            return self._failed(paths, f"the working folder cannot be read: {error.strerror}")
        except Exception:  # noqa: BLE001 - logged, told, and no reason to end a run
            _log.exception("volume %s: an error that nobody expected", self._copy.lease.name)
            return self._failed(paths, "an internal error; the daemon's log has the details")
        finally:
            self._under_way, self._is_looking = 0, False
        # What the whole process used is at least what this took; beside others it rests longer.
        cost = min(time.monotonic() - began, time.process_time() - began_cpu)
        if piece.was_whole:
            now = time.monotonic()
            self._doubt_at = now + cost / _SHARE_OF_DOUBT
            share = _SHARE_OF_DOUBT if self._watch.scan_only else _SHARE_OF_PEACE
            self._look_at = now + max(_LOOK_S, cost / share)
        return cost * (1 / _SHARE - 1)

    async def _follow(self, piece: Piece) -> None:
        """Draw the conclusions of a commit."""
        now = time.monotonic()
        if piece.root != self._root:
            if self._root is not None:
                await to_thread.run_sync(self._watch.forget)
                self._is_doubtful = True
            self._root = piece.root
        if piece.folders:
            fresh = await to_thread.run_sync(self._watch.cover, piece.folders)
            # What was written between the look and the watch was not heard.
            self._touched.note([folder + b"/" for folder in fresh], now)
        self._is_doubtful |= piece.wants_all
        self._touched.note(piece.rest, now - 1)
        self._touched.delay(piece.restless, now + _RESTLESS_S)
        self._failures, self._is_looking = 0, False
        if not len(self._touched) and not self._is_doubtful:
            self._behind_since = None
        changes: dict[str, Any] = {
            "problem": None,
            "is_over_quota": False,
            "unsteady": piece.unsteady,
            "bytes_behind": piece.bytes_left,
        }
        if piece.snapshot:
            changes |= {
                "snapshot": piece.snapshot.number,
                "committed_at": piece.snapshot.created_at,
                "commits": self._told.commits + 1,
            }
        self._tell(**changes)

    def _failed(self, paths: list[bytes] | None, why: str) -> float:
        """Take note that a commit failed; returns how long to wait."""
        if paths is None:
            self._is_doubtful = True
        else:
            self._touched.note(paths, time.monotonic() - 1)
        self._behind_since = self._behind_since or self._clock.now()
        self._failures += 1
        if self._failures == 1:
            _log.warning("volume %s: not streamed for now: %s", self._copy.lease.name, why)
            self._tell(problem=f"since {self._clock.now():%H:%M:%SZ}: {why}; it is tried again")
        first, most = _BACKOFF_S
        pause: float = min(most, first * 2.0 ** min(self._failures - 1, 10))
        return pause * random.uniform(0.5, 1)  # noqa: S311 - jitter

    def _tell(self, **changes: Any) -> None:
        told = replace(self._told, **changes)
        if told != self._told:
            self._told = told
            self._on_event(self.status)


@asynccontextmanager
async def streaming(
    engine: Engine,
    bound: Bound,
    copy: Copy,
    run_id: str,
    *,
    freezer: Freezer | None = None,
    on_event: OnEvent | None = None,
) -> AsyncGenerator[Stream]:
    """Stream for the length of the block. The run's last commit comes after it, when its sandbox is dead."""
    copy.trusted = copy.trusted or copy.state
    copy.told = copy.told or copy.state
    copy.is_live = True
    stream = Stream(engine, copy, Running(engine, bound, copy, run_id, freezer), on_event or _nobody)
    with first_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.run)
            try:
                yield stream
            finally:
                copy.is_live = False
                await stream.finish()
                tasks.cancel_scope.cancel()


def _nobody(status: StreamStatus) -> None:
    pass
