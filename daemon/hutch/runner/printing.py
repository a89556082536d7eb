"""The events of a job on standard output, with what its command writes, at the reader's own pace."""

import base64
import os
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread

from hutch.jobs import Event, Final, Output
from hutch.runner.telling import Numbered, TellingRun
from hutch.runs.path.log import read_log
from hutch.supervisor import Stream

_CHUNK = 64 * 1024  # bytes of output in one event
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


@dataclass(slots=True)
class Printer:
    """Writes lines to a descriptor, in a thread: a reader that does not read holds up no run."""

    descriptor: int
    on_gone: Callable[[], None]  # called once, when nobody reads any more
    _final: Final | None = None  # told when all output is
    _waiting: list[bytes] = field(default_factory=list)
    _number: Numbered = field(init=False)
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _news: anyio.Event = field(default_factory=anyio.Event)
    _is_gone: bool = False

    def __post_init__(self) -> None:
        self._number = Numbered(self._take)

    def tell(self, event: Event) -> None:
        """Take an event at once; it is written soon."""
        if isinstance(event, Final):
            self._final = event
        else:
            self._number(event)

    def tell_final(self) -> None:
        """Tell how it ended: what came before is told."""
        if self._final is not None:
            self._number(self._final)
            self._final = None

    async def pour(self) -> None:
        """Write what is told, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await self.write()

    async def write(self) -> None:
        """Write all that was told so far."""
        async with self._turn:
            lines, self._waiting = self._waiting, []
            if lines and not self._is_gone:
                # Abandoned where it must be: nobody reads, and the process is about to end
                await to_thread.run_sync(self._write, b"".join(lines), abandon_on_cancel=True)

    @asynccontextmanager
    async def with_output(self, live: TellingRun, folder: Path) -> AsyncGenerator[None]:
        """Print what a run writes to its log in `folder`; all of it is told when the block has ended."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._follow, live, folder)
            yield

    async def _follow(self, live: TellingRun, folder: Path) -> None:
        at = dict.fromkeys(_STREAMS, 0)
        while True:
            has_ended = live.ended.is_set()  # looked at before reading: what comes later is read next time
            for stream in _STREAMS:
                at[stream] = await self._catch_up(folder, stream, at[stream], is_whole=has_ended)
            if has_ended:
                break
            if not live.ended.is_set() and not any(_piece(folder, name, at[name])[1] for name in _STREAMS):
                await live.log.grown()
        self.tell_final()

    async def _catch_up(self, folder: Path, stream: Stream, at: int, *, is_whole: bool) -> int:
        while True:
            event, size = _piece(folder, stream, at, is_whole=is_whole)
            if event is None:
                return at
            self._number(event)
            await self.write()
            at += size

    def _take(self, line: bytes) -> None:
        self._waiting.append(line)
        self._news.set()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError:
            self._is_gone = True
            anyio.from_thread.run_sync(self.on_gone)


def _piece(folder: Path, stream: Stream, at: int, *, is_whole: bool = False) -> tuple[Output | None, int]:
    """Return the next piece of a log as an event, and its length. `is_whole`: the log does not grow."""
    data = read_log(folder / stream, at, _CHUNK)[0]
    decoder = getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data, final=is_whole and len(data) < _CHUNK)
    except UnicodeDecodeError:
        return Output(stream=stream, start=at, base64=base64.b64encode(data).decode()), len(data)
    size = len(data) - len(decoder.getstate()[0])  # a character that is not there whole yet is told later
    return (Output(stream=stream, start=at, text=text), size) if size else (None, 0)
