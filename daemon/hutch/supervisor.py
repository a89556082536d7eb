"""Runs one process to its end: input, output, deadline, stop. Knows nothing of volumes, sessions or state."""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch.errors import unwrapped
from hutch_launchers.launcher import SandboxProcess
from hutch_launchers.spec import ExitStatus, Guarantee

Stream = Literal["stdout", "stderr"]
Sink = Callable[[Stream, bytes], None]  # takes output at once, never blocks for long
Outcome = Literal[
    "exited", "timed_out", "oom", "pids", "disk_full", "output_limit", "budget", "killed", "cancelled"
]

_TERM_S = 2.0  # from SIGTERM to SIGKILL, for what was given its grace before
_DRAIN_S = 0.5  # a descendant may hold the pipe; its output is not ours to wait for
_STDIN_CHUNK = 64 * 1024  # bytes; what a pipe holds


@dataclass(slots=True)
class Stop:
    """A request to end a process, made once by whoever asks first."""

    reason: str = ""
    grace_s: float = 5.0
    outcome: Outcome = "cancelled"  # what its end is to be called
    interrupts: bool = False  # SIGINT comes first, at which it ends what it is at, and has the grace for it
    is_asked: bool = False
    _waiting: list[anyio.CancelScope] = field(default_factory=list)

    def ask(self, reason: str, grace_s: float, outcome: Outcome = "cancelled") -> None:
        if not self.is_asked:
            self.reason, self.grace_s, self.outcome = reason, grace_s, outcome
            self.is_asked = True
            for waiting in self._waiting:
                waiting.cancel()

    @contextmanager
    def ends(self, waiting: anyio.CancelScope) -> Generator[None]:
        """Within the block `waiting` is cancelled as soon as somebody asks, or has asked."""
        self._waiting.append(waiting)
        if self.is_asked:
            waiting.cancel()
        try:
            yield
        finally:
            self._waiting.remove(waiting)


@dataclass(slots=True)
class Standstill:
    """Of a sandbox: while it is suspended its wall time does not run. `thaw` lets it go on."""

    thaw: Callable[[], None] = lambda: None
    _since: float | None = None
    _before_s: float = 0.0
    _deadlines: list[Callable[[], None]] = field(default_factory=list)  # of all that waits in the sandbox
    _over: anyio.Event = field(default_factory=anyio.Event)

    @property
    def holds(self) -> bool:
        return self._since is not None

    @property
    def total_s(self) -> float:
        """How long it has stood still so far."""
        return self._before_s + (0.0 if self._since is None else time.monotonic() - self._since)

    def begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            self._over = anyio.Event()
            self._move_deadlines()

    def end(self) -> None:
        if self._since is not None:
            self._before_s, self._since = self.total_s, None
            self.thaw()
            self._move_deadlines()
            self._over.set()

    async def until_over(self) -> None:
        """Return when it does not stand still, or not any more."""
        if self.holds:
            await self._over.wait()

    @contextmanager
    def bounds(self, waiting: anyio.CancelScope, wall_s: float) -> Generator[None]:
        """Within the block `waiting` is cancelled after `wall_s` seconds in which it did not stand still."""
        ends_at = anyio.current_time() + wall_s - self.total_s

        def set_deadline() -> None:
            waiting.deadline = math.inf if self.holds else ends_at + self.total_s

        set_deadline()
        self._deadlines.append(set_deadline)
        try:
            yield
        finally:
            self._deadlines.remove(set_deadline)

    def _move_deadlines(self) -> None:
        for set_deadline in self._deadlines:
            set_deadline()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a supervised process ended."""

    outcome: Outcome
    exit: ExitStatus
    duration_s: float  # of the process, by a monotonic clock
    reason: str = ""  # which limit hit, or who asked


async def supervise(
    process: SandboxProcess,
    stdin: bytes,
    sink: Sink,
    wall_s: float,
    stop: Stop,
    standstill: Standstill | None = None,
) -> Ended:
    """Feed `stdin`, pass all output to `sink`, and return when the process has ended.

    It is stopped at `wall_s` seconds, those of a `standstill` not counted, or when `stop` is asked. Output
    that arrives up to half a second after its end is still taken. Raises LauncherError when its sandbox is
    lost under it.
    """
    pumped = [anyio.Event(), anyio.Event()]
    ended: Ended | None = None
    with unwrapped():  # hostile code can end a kept sandbox; that error must reach its run by its own name
        async with anyio.create_task_group() as pumps:
            if stdin:
                pumps.start_soon(_feed, process.stdin, stdin)
            else:
                await _feed(process.stdin, stdin)  # at once: it only closes
            pumps.start_soon(_pump, process.stdout, "stdout", sink, pumped[0])
            pumps.start_soon(_pump, process.stderr, "stderr", sink, pumped[1])
            ended = await _end(process, wall_s, stop, standstill or Standstill())
            with anyio.move_on_after(_DRAIN_S):
                for event in pumped:
                    await event.wait()
            pumps.cancel_scope.cancel()
    assert ended is not None
    return ended


async def _end(process: SandboxProcess, wall_s: float, stop: Stop, standstill: Standstill) -> Ended:
    """Wait for the first of: its own end, the deadline, a request to stop."""
    status: ExitStatus | None = None
    started = time.monotonic()
    with anyio.CancelScope() as waiting, stop.ends(waiting), standstill.bounds(waiting, wall_s):
        status = await process.wait()
    if status is not None:
        return Ended(_outcome(status), status, time.monotonic() - started, _limit(status))
    asked = stop.is_asked
    standstill.end()  # what is frozen takes no signal
    await _stop(process, stop)
    status = await process.wait()
    duration_s = time.monotonic() - started
    if asked:
        return Ended(stop.outcome, status, duration_s, stop.reason)
    return Ended("timed_out", status, duration_s, f"wall time limit of {wall_s:g} s")


async def _stop(process: SandboxProcess, stop: Stop) -> None:
    if not stop.interrupts or not stop.grace_s:
        await process.stop(stop.grace_s)
        return
    with anyio.move_on_after(stop.grace_s):
        await process.interrupt()
        await process.wait()
    await process.stop(_TERM_S)


_MET: Mapping[Guarantee | None, Outcome] = {
    Guarantee.MEMORY: "oom",
    Guarantee.PIDS: "pids",
    Guarantee.DISK: "disk_full",
}


def _outcome(status: ExitStatus) -> Outcome:
    if status.limit in _MET:
        return _MET[status.limit]
    return "exited" if status.signal is None else "killed"


def _limit(status: ExitStatus) -> str:
    return f"{status.limit} limit" if status.limit else ""


async def _feed(stream: ByteSendStream, data: bytes) -> None:
    """Write all of `data`, then close: a program that reads to the end of its input must see one."""
    try:
        for start in range(0, len(data), _STDIN_CHUNK):
            await stream.send(data[start : start + _STDIN_CHUNK])
        await stream.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return  # it does not read its input, which is its right


async def _pump(stream: ByteReceiveStream, name: Stream, sink: Sink, done: anyio.Event) -> None:
    try:
        async for data in stream:
            sink(name, data)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    finally:
        done.set()
