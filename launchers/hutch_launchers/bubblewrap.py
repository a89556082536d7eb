"""The method `bubblewrap`: namespaces, a filter and limits around one command, by an unprivileged program."""

import os
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import anyio

from hutch_launchers.bubble import Bubble, Start, start_bubble
from hutch_launchers.bubble_process import BubbleProcess
from hutch_launchers.bwrap_argv import Options
from hutch_launchers.bwrap_binary import find_bwrap
from hutch_launchers.guest_link import GUEST_READY_S, Guest
from hutch_launchers.interpreter import GUEST, find_interpreter
from hutch_launchers.kept import Kept
from hutch_launchers.launcher import KeptSandbox, LauncherError, SandboxProcess
from hutch_launchers.limits import Confinement, mark_memory
from hutch_launchers.local_process import Stdio, open_pipes
from hutch_launchers.spec import Command, ExitStatus, SandboxSpec
from hutch_launchers.streams import PipeReader
from hutch_launchers.system_view import look, private_proc_files

_FRESH_S = 10.0  # how old the view of the host's system folders may be
_GUEST_SOURCE = Path(__file__).parent / "guest" / "server.py"


@dataclass(frozen=True, slots=True)
class BubblewrapLauncher:
    """Configuration only."""

    bwrap: Path | None = None  # None: the system's in /usr/bin, where AppArmor expects it, or the wheel's
    system: tuple[str, ...] = ("/usr",)  # host folders that hold programs, read-only at their own paths
    readable: tuple[str, ...] = ()  # further host paths to read, each at its own path

    @property
    def name(self) -> str:
        return "bubblewrap"

    @asynccontextmanager
    async def launch(self, spec: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        if spec.command is None:
            raise LauncherError("command_invalid", "a launch needs a command; `keep` starts without one")
        confinement = Confinement(spec.limits, spec.run_id)
        try:
            binary = await find_bwrap(self.bwrap)
            start = Start(binary, self._options(), spec, confinement, spec.command)
            process = await _start_process(start)
            try:
                yield process
            finally:
                await process.aclose()
        finally:
            await confinement.release()

    @asynccontextmanager
    async def keep(self, spec: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        confinement = Confinement(spec.limits, spec.run_id)
        try:
            python = find_interpreter(self.system)
            start = Start(
                binary=await find_bwrap(self.bwrap),
                options=self._options(),
                spec=spec,
                confinement=confinement,
                command=Command((python.program, "-I", "-S", GUEST), PurePosixPath("/"), python.env),
                files={GUEST: _GUEST_SOURCE.read_bytes()},
                mounts=python.mounts,
            )
            async with _start_guest(start) as kept:
                yield kept
        finally:
            await confinement.release()

    def _options(self) -> Options:
        return _look(self, int(time.monotonic() / _FRESH_S))


@lru_cache(maxsize=8)
def _look(method: BubblewrapLauncher, _period: int) -> Options:
    """What the method shows of the host, looked at once a period: it costs half a bubblewrap."""
    return Options(
        view=look(method.system),
        readable=method.readable,
        masked=private_proc_files() if os.geteuid() == 0 else (),
    )


async def _start_process(start: Start) -> BubbleProcess:
    with ExitStack() as child_ends:
        pipes = open_pipes(child_ends)
        try:
            bubble = await start_bubble(start, pipes.child, pipes.stderr)
        except BaseException:
            pipes.close()
            raise
    return BubbleProcess(bubble, pipes, start.confinement)


@asynccontextmanager
async def _start_guest(start: Start) -> AsyncGenerator[KeptSandbox]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    stderr = PipeReader(reader)
    try:
        with ExitStack() as child_ends:
            child_ends.callback(os.close, writer)
            child_ends.callback(theirs.close)
            null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
            child_ends.callback(os.close, null)
            bubble = await start_bubble(start, Stdio(theirs.fileno(), null, writer), stderr)
        guest = Guest(ours, bubble.end)
        try:
            await _until_ready(guest, stderr)
            yield Kept(guest, start.confinement, lambda: _ended(bubble, start.confinement))
        finally:
            guest.close()
            try:
                with anyio.CancelScope(shield=True):
                    await bubble.kill()
            finally:
                bubble.close()
    finally:
        ours.close()
        stderr.close()


async def _until_ready(guest: Guest, stderr: PipeReader) -> None:
    with anyio.move_on_after(GUEST_READY_S):
        await guest.ready.wait()
    if guest.gone.is_set() or not guest.ready.is_set():
        complaint = stderr.read_rest().decode(errors="replace").strip()
        raise LauncherError(
            "sandbox_failed",
            f"the guest of the kept sandbox did not start: {complaint or 'it said nothing'}",
            "it needs Python 3.9 or newer: the system's, or the daemon's own",
        )


async def _ended(bubble: Bubble, confinement: Confinement) -> ExitStatus:
    await bubble.child.wait()
    return mark_memory(bubble.child.exit_status, confinement.memory_strikes())
