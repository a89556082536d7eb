"""Keeps a waiting client informed: it gives up after silence, and drowns in one notice a line."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp.server.mcpserver.context import Context

from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.text import one_line

_BUFFERED = 16  # events; only the newest is ever told
_MESSAGE_CHARS = 200
_STEP_S = 0.001  # between two notices at once: each is to be further than the one before

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a client hears of a call, in seconds."""

    coalesce_s: float = 0.25  # one notice a line made a call of 60,000 lines six to thirty times slower
    heartbeat_s: float = 15.0  # the most impatient client gives up 60 s after the last sign of life


class Progress:
    """The wait of one call. `run_id` is the run it waits for, as soon as that has a name.

    `notes_only`: of an agent, whose output is for programs, what is noted of it is told.
    """

    def __init__(self, context: Context[Any, Any], pace: Pace, *, notes_only: bool = False) -> None:
        self._context = context
        self._pace = pace
        self._notes_only = notes_only
        self._noted = ""  # the newest
        self._has_named = False
        self.run_id: str | None = None

    async def during(self, call: Callable[[Events], Awaitable[T]]) -> T:
        """The result of `call`, while the client is told what the events say. Raises what `call` does."""
        send, receive = anyio.create_memory_object_stream[RunEvent](_BUFFERED)
        refused: ServiceError
        async with send, receive, anyio.create_task_group() as tasks:
            tasks.start_soon(self._report, receive)
            try:
                return await call(send)
            except ServiceError as error:  # carried past the task group, which would wrap it
                refused = error if error.code != "daemon_gone" else self._gone(error)
            finally:
                tasks.cancel_scope.cancel()
                while receive.statistics().current_buffer_used:
                    self._note_run(receive.receive_nowait())
        raise refused

    async def _report(self, events: MemoryObjectReceiveStream[RunEvent]) -> None:
        began = last = anyio.current_time()
        while True:
            news = await self._gather(events, last)
            last = anyio.current_time()
            waited = last - began
            doing = f"{self._noted}, " if self._noted and self._notes_only else ""
            heartbeat = f"{doing}still waiting after {waited:.0f} s"
            if self.run_id and not self._has_named:
                self._has_named = True
                await self._context.report_progress(waited, None, f"{self._found_again()} has it from now on")
                waited += _STEP_S
            await self._context.report_progress(waited, None, news or heartbeat)

    async def _gather(self, events: MemoryObjectReceiveStream[RunEvent], last: float) -> str:
        """The newest that was said until the next notice is due; news make it due sooner."""
        newest = None
        due = last + self._pace.heartbeat_s
        while (now := anyio.current_time()) < due:
            with anyio.move_on_after(due - now):
                event = await events.receive()
                self._note_run(event)
                if event.note or not self._notes_only or not self._has_named:
                    newest, due = event, min(due, last + self._pace.coalesce_s)
        return _said(newest) if newest else ""

    def _found_again(self) -> str:
        return f'get_run(run_id="{self.run_id}", wait_s=45)'

    def _gone(self, error: ServiceError) -> ServiceError:
        """Say what to call once the daemon is back."""
        call = self._found_again() if self.run_id else "list_sessions()"
        hint = (
            f"the daemon ended, or is started anew; what was asked may go on: {call} tells, in some seconds"
        )
        return ServiceError(error.code, error.message, hint)

    def _note_run(self, event: RunEvent) -> None:
        self._noted = one_line(event.note, _MESSAGE_CHARS) or self._noted
        self.run_id = event.run_id or self.run_id


def _said(event: RunEvent) -> str:
    lines = event.text.strip().splitlines()
    return one_line(event.note or (lines[-1] if lines else ""), _MESSAGE_CHARS)
