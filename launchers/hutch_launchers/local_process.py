"""A process that is our child: own session, three pipes, an end that is noticed and reaped, a stop ladder."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch_launchers.freezer import Freezer
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import ExitStatus
from hutch_launchers.streams import PipeReader, PipeWriter

_FIND_S = 0.005  # between two looks for a command that is about to be started
_DEATH_S = 10.0  # from SIGKILL to the end: only a process stuck in the kernel takes longer

Spawn = Callable[[Callable[[], "subprocess.Popen[bytes]"]], "subprocess.Popen[bytes]"]


class PidWatch:
    """A process held by its pidfd, so that its number cannot come to mean another. Takes over `pidfd`."""

    def __init__(self, pidfd: int) -> None:
        self._fd = pidfd
        self._loop = asyncio.get_running_loop()
        self._ended = anyio.Event()
        self._loop.add_reader(pidfd, self._notice)

    def _notice(self) -> None:
        self._loop.remove_reader(self._fd)
        self._ended.set()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> None:
        await self._ended.wait()

    def send(self, signum: int) -> None:
        if self._fd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signum)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True)
class Stdio:
    """The child's three descriptors; they stay the caller's."""

    stdin: int
    stdout: int
    stderr: int


class Child(PidWatch):
    """A child process in a session of its own, with no descriptor but the given ones."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdio: Stdio,
        program: str | None = None,
        pass_fds: Iterable[int] = (),
        spawn: Spawn | None = None,
    ) -> None:
        """Start it, by way of `spawn` if given. Raises LauncherError when it cannot be started."""

        def popen() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                argv,
                executable=program,
                stdin=stdio.stdin,
                stdout=stdio.stdout,
                stderr=stdio.stderr,
                env=env,
                cwd="/",
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )

        try:
            self._popen = popen() if spawn is None else spawn(popen)
        except (OSError, ValueError) as error:
            raise _not_started(program or argv[0], error) from error
        self.pid = self._popen.pid
        super().__init__(os.pidfd_open(self.pid))

    def _notice(self) -> None:
        self._popen.wait()  # it has ended: this reaps it and does not block
        super()._notice()

    @property
    def exit_status(self) -> ExitStatus:
        """How it ended; only after its end."""
        returncode = self._popen.returncode
        if returncode < 0:
            return ExitStatus(code=None, signal=-returncode)
        return ExitStatus(code=returncode, signal=None)

    def kill_group(self) -> None:
        """SIGKILL to it and its process group, also when the leader has gone."""
        # The number stays the group's while it has a member. Once the leader is reaped, a process of that
        # number is a stranger, and so is the group.
        if self.has_ended and Path(f"/proc/{self.pid}").exists():
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def kill_and_reap(self) -> None:
        """Make sure that it has ended. Raises LauncherError if even SIGKILL does not end it."""
        if not self.has_ended:
            self.send(signal.SIGKILL)
        await wait_for_death(self)


async def wait_for_death(*watched: PidWatch) -> None:
    """Wait, bounded, for the end of what was sent SIGKILL. Raises LauncherError `sandbox_failed`."""
    with anyio.move_on_after(_DEATH_S, shield=True) as patience:
        for watch in watched:
            await watch.wait()
    if patience.cancelled_caught:
        raise LauncherError(
            "sandbox_failed",
            f"a sandbox did not end within {_DEATH_S:g} s of SIGKILL",
            "look for processes in state D (ps -eo pid,stat,cmd) and the disk that they wait on",
        )


class LocalProcess:
    """A `SandboxProcess` around a child. A method refines how it is asked to end and how it is killed."""

    def __init__(self, child: Child, stdin: PipeWriter, stdout: PipeReader, stderr: PipeReader) -> None:
        self._child = child
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr

    @property
    def pid(self) -> int | None:
        return self._child.pid

    @property
    def freezer(self) -> Freezer:
        """A method refines it where it has a control group."""
        return Freezer(None)

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self.freezer.frozen()

    @property
    def stdin(self) -> ByteSendStream:
        return self._stdin

    @property
    def stdout(self) -> ByteReceiveStream:
        return self._stdout

    @property
    def stderr(self) -> ByteReceiveStream:
        return self._stderr

    async def wait(self) -> ExitStatus:
        await self._child.wait()
        return self._child.exit_status

    async def interrupt(self) -> None:
        await self._ask(signal.SIGINT)

    async def stop(self, grace_s: float) -> None:
        if not self._child.has_ended:
            with anyio.move_on_after(grace_s):
                await self._ask(signal.SIGTERM)
                await self._child.wait()
        await self._kill()

    async def _ask(self, number: signal.Signals) -> None:
        """Send a signal to the command itself."""
        while not self._child.has_ended:
            if pid := self._command_pid():
                with suppress(OSError):
                    watch = PidWatch(os.pidfd_open(pid))
                    if self._command_pid() == pid:  # then the descriptor is the command's
                        watch.send(number)
                    watch.close()
                return
            await anyio.sleep(_FIND_S)

    def _command_pid(self) -> int | None:
        """The host's number of the command's own process; None: it is not there yet."""
        return self._child.pid

    async def _kill(self) -> None:
        """End all of it and return when it has ended."""
        await self._child.kill_and_reap()

    async def aclose(self) -> None:
        """End all of it and give back every descriptor. Runs to its end though the caller is cancelled."""
        try:
            with anyio.CancelScope(shield=True):
                await self._kill()
        finally:
            for part in (self._stdin, self._stdout, self._stderr, self._child):
                part.close()


@dataclass(frozen=True, slots=True)
class Pipes:
    """Three pipes: the child's ends as descriptors of the stack they were made with, ours as streams."""

    child: Stdio
    stdin: PipeWriter
    stdout: PipeReader
    stderr: PipeReader

    def close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


def open_pipes(child_ends: ExitStack) -> Pipes:
    """Make three pipes; `child_ends` closes the child's ends, which is to be done once it has started."""
    ours: list[int] = []
    theirs: list[int] = []
    for reader_is_ours in (False, True, True):
        reader, writer = os.pipe2(os.O_CLOEXEC)
        ours.append(reader if reader_is_ours else writer)
        theirs.append(writer if reader_is_ours else reader)
        child_ends.callback(os.close, theirs[-1])
    return Pipes(Stdio(*theirs), PipeWriter(ours[0]), PipeReader(ours[1]), PipeReader(ours[2]))


def _not_started(program: str, error: OSError | ValueError) -> LauncherError:
    if isinstance(error, FileNotFoundError | PermissionError):
        return LauncherError(
            "method_unavailable",
            f"cannot start {program!r}: {error.strerror}",
            "is it installed, and executable?",
        )
    return LauncherError(
        "command_invalid",
        f"the command cannot be started: {error}",
        "its words and environment together are limited by the kernel: 128 KiB each word, about 2 MiB in all",
    )
