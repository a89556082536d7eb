"""A sign of life on stderr: what is being waited for, once that takes longer than a second."""

import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from hutch_launchers.sizes import size
from hutch_mcp_tools.events import Events, RunEvent
from hutch_mcp_tools.text import one_line

_PATIENCE_S = 1.0  # what ends sooner needs no words
_EVENTS = 16
_NOTE = 400  # characters; a sandbox may have written some
_CLEAR_LINE = "\r\x1b[K"


class Waiting:
    """On a terminal one line that is kept up to date and vanishes; elsewhere one line for each new state.

    With `comes_back` it is there again whenever nothing else was shown for a second: what is shown between
    are whole lines.
    """

    def __init__(
        self, note: str, clock: Callable[[], float] = time.monotonic, *, comes_back: bool = False
    ) -> None:
        self._note = note
        self._clock = clock
        self._began = clock()
        self.is_terminal = sys.stderr.isatty()
        self._comes_back = comes_back and self.is_terminal
        self._said = ""
        self._is_over = False

    def now(self, note: str) -> None:
        """Say what is being waited for from now on."""
        self._note = note

    def interrupt(self) -> None:
        """There is something better to look at; for now where this comes back, else for good."""
        if not self._comes_back:
            self.over()
        elif not self._is_over:
            self._clear()
            self._began = self._clock()

    def over(self) -> None:
        """It comes no more. Idempotent."""
        if not self._is_over:
            self._clear()
        self._is_over = True

    async def show(self) -> None:
        """Say it every second until it is over or cancelled."""
        while not self._is_over:
            await anyio.sleep(_PATIENCE_S)
            self.say()

    def say(self) -> None:
        """Say it now, unless it is over or nothing has changed."""
        if self._is_over or (self._note == self._said and not self.is_terminal):
            return
        waited = round(self._clock() - self._began)
        if self._comes_back and waited < _PATIENCE_S:
            return
        self._said = self._note
        note = one_line(self._note, _NOTE)
        self._write(f"{_CLEAR_LINE}… {note}, {waited} s" if self.is_terminal else f"… {note}\n")

    def _clear(self) -> None:
        if self._said and self.is_terminal:
            self._write(_CLEAR_LINE)
        self._said = ""

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


@asynccontextmanager
async def shown_waiting(note: str, *, comes_back: bool = False) -> AsyncGenerator[Waiting]:
    """Say what is being waited for during the block."""
    waiting = Waiting(note, comes_back=comes_back)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting.show)
        try:
            yield waiting
        finally:
            waiting.over()
            tasks.cancel_scope.cancel()


@dataclass(slots=True)
class Carried:
    """How far something has come, for whoever waits."""

    waiting: Waiting
    verb: str
    bytes: int = 0

    def more(self, count: int) -> None:
        self.bytes += count
        if self.waiting.is_terminal:  # a log needs no line a second
            self.waiting.now(f"{self.verb}, {size(self.bytes)} so far")


@asynccontextmanager
async def noting(waiting: Waiting, what: str) -> AsyncGenerator[Events]:
    """Show what events say on the way to an answer."""
    send, receive = anyio.create_memory_object_stream[RunEvent](_EVENTS)

    async def note() -> None:
        with receive:
            async for event in receive:
                if waiting.is_terminal:  # a log needs no line a second
                    waiting.now(f"{what}, {event.note}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(note)
        with send:
            yield send
