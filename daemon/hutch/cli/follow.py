"""Follows a run to its end: shows what it writes as it comes, and ends it when we are told to end."""

import base64
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream

from hutch.cli.output import note
from hutch.cli.waiting import Waiting
from hutch.errors import unwrapped
from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.run_records import LogRequest, RunRecord, Stream
from hutch_mcp_tools.service import SandboxService, ServiceError

T = TypeVar("T")
Begin = Callable[[float, Events], Awaitable[RunRecord]]  # begins a run, or waits on one: wait_s, events

_WAIT_S = 3600.0  # of one call; a run that lasts longer is asked for again
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
_AWAY_S = 30.0  # that a daemon may be away
_ASK_AGAIN_S = 0.2
_STOP_S = 10.0  # for the daemon to answer that it ends a run whose reader has gone


class Display(Protocol):
    """Where a run's output goes; it may block."""

    def output(self, stream: Stream, data: bytes) -> None: ...
    def end(self) -> None: ...


@dataclass(slots=True)
class Follower:
    """One run as somebody watches it. `owns`: an interrupt ends the run itself, not the watching alone."""

    service: SandboxService
    display: Display
    waiting: Waiting
    owns: bool
    outlives: bool = False  # the daemon: when that is back, the run is asked for again
    signal: int = 0  # that made us end the run
    _run_id: str = ""
    _away_since: float | None = None
    _named: anyio.Event = field(default_factory=anyio.Event)
    _seen: dict[Stream, int] = field(default_factory=lambda: dict.fromkeys(_STREAMS, 0))

    async def follow(self, begin: Begin) -> RunRecord:
        """Return the record of the run at its end. When it is the watching that ends, so does the program."""
        try:
            with unwrapped():
                return await self._watch(begin)
        except BrokenPipeError:
            with anyio.move_on_after(_STOP_S, shield=True):
                await self._stop()
            raise
        finally:
            self.waiting.over()

    async def catch_up(self, record: RunRecord) -> None:
        """Show what a run has written so far, and return."""
        for stream in _STREAMS:
            await self._show_rest(record.run_id, stream)
        self.display.end()

    async def _watch(self, begin: Begin) -> RunRecord:
        async with anyio.create_task_group() as group:
            group.start_soon(self._obey_signals, group)
            group.start_soon(self.waiting.show)
            told = await self._told(lambda events: begin(_WAIT_S, events))
            while told is None or not told.is_ended:
                told = await self._told(lambda events: self.service.get_run(self._run_id, _WAIT_S, events))
            record = told
            for stream, end in zip(_STREAMS, (record.stdout_bytes, record.stderr_bytes), strict=True):
                if self._seen[stream] < end:  # it had ended before we asked: no event told of its output
                    await self._show_rest(record.run_id, stream)
            self.waiting.over()
            await to_thread.run_sync(self.display.end)
            group.cancel_scope.cancel()
        return record

    async def _told(self, call: Callable[[Events], Awaitable[RunRecord]]) -> RunRecord | None:
        """The record; None: the daemon went away, as when it is started anew, and is to be asked again."""
        try:
            with unwrapped():
                record = await self._shown(call)
        except ServiceError as error:
            self._away_since = self._away_since or anyio.current_time()
            is_over = anyio.current_time() - self._away_since > _AWAY_S
            if not self.outlives or not self._run_id or error.code != "daemon_gone" or is_over:
                raise
            await anyio.sleep(_ASK_AGAIN_S)
            return None
        self._away_since = None
        if not record.is_ended and self.outlives:
            await anyio.sleep(_ASK_AGAIN_S)  # a daemon that is about to end lets go of all who wait
        return record

    async def _shown(self, call: Callable[[Events], Awaitable[RunRecord]]) -> RunRecord:
        sender, receiver = anyio.create_memory_object_stream[RunEvent](64)
        async with anyio.create_task_group() as group:
            group.start_soon(self._show, receiver)
            async with sender:
                record = await call(sender)
        self._name(record.run_id)
        return record

    async def _show(self, events: MemoryObjectReceiveStream[RunEvent]) -> None:
        at = dict.fromkeys(_STREAMS, 0)  # every call tells the output from its beginning
        async with events:
            async for event in events:
                self._name(event.run_id)
                if event.note:
                    self.waiting.now(event.note)
                if event.stream:
                    news = event.data[max(self._seen[event.stream] - at[event.stream], 0) :]
                    at[event.stream] += len(event.data)
                    await self._output(event.stream, news)

    async def _show_rest(self, run_id: str, stream: Stream) -> None:
        while True:
            request = LogRequest(run_id=run_id, stream=stream, start=self._seen[stream])
            chunk = await self.service.read_log(request)
            await self._output(stream, base64.b64decode(chunk.data_base64))
            if self._seen[stream] >= chunk.end or not chunk.data_base64:
                return

    async def _output(self, stream: Stream, data: bytes) -> None:
        if data:
            self.waiting.interrupt()
            self._seen[stream] += len(data)
            # In a thread: a reader that does not read, like a pager, must not keep us from hearing Ctrl-C
            await to_thread.run_sync(self.display.output, stream, data, abandon_on_cancel=True)

    def _name(self, run_id: str | None) -> None:
        if run_id and not self._run_id:
            self._run_id = run_id
            self._named.set()

    async def _obey_signals(self, group: TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                if self.signal or not self.owns:
                    self.waiting.over()
                    # Not by unwinding: a write that nobody reads would hold that up for ever
                    os._exit(128 + number)
                self.signal = number
                note("ending the run (once more: leave it to the daemon)")
                group.start_soon(self._stop)

    async def _stop(self) -> None:
        if not self.owns:
            return
        await self._named.wait()
        try:
            await self.service.stop_run(self._run_id)
        except ServiceError as error:
            note(f"it could not be ended: {error.message}")
