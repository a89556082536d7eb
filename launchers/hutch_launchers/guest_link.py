"""The host's side of a guest (`guest/server.py`): commands started in a sandbox that stays.

The guest runs beside hostile code under the same user: it can be stopped, killed or replaced. So its messages
have one size, are counted, and can do no more than tell a lie about its own sandbox; every wait for it has a
bound, and a guest that breaks its word loses the sandbox.
"""

import asyncio
import errno
import json
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio

from hutch_launchers.commands import check_command
from hutch_launchers.launcher import LauncherError
from hutch_launchers.local_process import Stdio
from hutch_launchers.spec import Command, ExitStatus
from hutch_launchers.streams import PipeReader

_READY_S = 15.0  # an interpreter's start on a busy host

_MESSAGE = struct.Struct("!cQi")
_ANSWER_S = 10.0  # a fork and an exec, on a busy host
_DEATH_S = 10.0  # from SIGKILL until the guest tells of the end, on a busy host
_BURST = 64  # messages taken before other tasks have their turn
_PER_COMMAND = 2  # messages that a guest has to tell about one: its start, its end
_NOT_FOUND, _NOT_EXECUTED = 127, 126  # a shell's words for a command that cannot be started


@dataclass(slots=True)
class _Pending:
    """A command as far as the guest has told."""

    started: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    status: ExitStatus | None = None
    is_sent: bool = False


class Guest:
    """The host's end of the socket to a guest. Takes over `sock`."""

    def __init__(self, sock: socket.socket, give_up: Callable[[], None]) -> None:
        """`give_up` is called once when the guest is gone or broke its word; it ends the sandbox."""
        self._sock = sock
        self._give_up = give_up
        self._commands: dict[int, _Pending] = {}
        self._next = 1
        self._received = 0
        self._sending = anyio.Lock()  # one task at a time may wait for room in the socket
        self.ready = anyio.Event()
        self.gone = anyio.Event()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(sock.fileno(), False)
        self._loop.add_reader(sock.fileno(), self._receive)

    async def start(self, command: Command, stdio: Stdio) -> "StartedCommand":
        """Have the command started; raises LauncherError `sandbox_gone`, `command_invalid`."""
        content = _encode(command)
        if self.gone.is_set():
            raise sandbox_gone()
        number, self._next = self._next, self._next + 1
        pending = self._commands[number] = _Pending()
        started = StartedCommand(self, number, pending)
        try:
            with anyio.move_on_after(_ANSWER_S):
                pending.is_sent = await self._send_start(number, content, stdio)
                await pending.started.wait()
            if not pending.started.is_set():
                self.lose()
            if self.gone.is_set() and pending.status is None:
                raise sandbox_gone()
        except BaseException:
            await started.aclose()
            raise
        return started

    def kill(self, number: int, signum: int) -> None:
        """Signal a command, as the guest's text says; without effect when it has ended."""
        if not self.gone.is_set():
            try:
                self._sock.send(_MESSAGE.pack(b"K", number, signum))
            except OSError:  # closed, or it has not read for hundreds of messages
                self.lose()

    def forget(self, number: int) -> None:
        self._commands.pop(number, None)

    def lose(self) -> None:
        """The guest is of no use any more: tell all who wait, and end the sandbox."""
        if not self.gone.is_set():
            self._loop.remove_reader(self._sock.fileno())
            self.gone.set()
            self.ready.set()  # nobody shall wait for it any longer
            for pending in self._commands.values():
                pending.started.set()
                pending.ended.set()
            self._give_up()

    def close(self) -> None:
        self.lose()
        self._sock.close()

    async def _send_start(self, number: int, content: bytes, stdio: Stdio) -> bool:
        """Send a start whole; False: the guest was gone before."""
        with ExitStack() as stack:
            fd = os.memfd_create("command", os.MFD_CLOEXEC)
            stack.callback(os.close, fd)
            os.pwrite(fd, content, 0)
            fds = (stdio.stdin, stdio.stdout, stdio.stderr, fd)
            async with self._sending:
                while not self.gone.is_set():
                    try:
                        socket.send_fds(self._sock, [_MESSAGE.pack(b"S", number, 0)], fds)
                    except BlockingIOError:
                        await anyio.wait_writable(self._sock)
                    except OSError:
                        self.lose()
                    else:
                        return True
        return False

    def _receive(self) -> None:
        for _ in range(_BURST):
            try:
                data = self._sock.recv(_MESSAGE.size + 1)  # descriptors that come along are never taken
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received += 1
            is_too_much = self._received > 1 + _PER_COMMAND * self._next
            if is_too_much or len(data) != _MESSAGE.size or not self._take(*_MESSAGE.unpack(data)):
                self.lose()
                return

    def _take(self, kind: bytes, number: int, value: int) -> bool:
        """Note what the guest tells; False: it makes no sense."""
        if kind == b"R":
            self.ready.set()
            return True
        pending = self._commands.get(number)
        if pending is None:
            return kind in (b"P", b"F", b"X")  # about a command that we left already
        if kind == b"F":
            code = _NOT_FOUND if value == errno.ENOENT else _NOT_EXECUTED
            pending.status = ExitStatus(code=code, signal=None)
        elif kind == b"X":
            pending.status = _wait_status(value)
            if pending.status is None or not pending.started.is_set():
                return False
        elif kind != b"P":
            return False
        pending.started.set()
        if pending.status is not None:
            pending.ended.set()
        return True


class StartedCommand:
    """One command in a guest, until `aclose`."""

    def __init__(self, guest: Guest, number: int, pending: _Pending) -> None:
        self._guest, self._number, self._pending = guest, number, pending

    async def wait(self) -> ExitStatus:
        await self._pending.ended.wait()
        if self._pending.status is None:
            raise sandbox_gone()
        return self._pending.status

    def interrupt(self) -> None:
        if not self._pending.ended.is_set():
            self._guest.kill(self._number, signal.SIGINT)

    async def stop(self, grace_s: float) -> None:
        if not self._pending.ended.is_set():
            self._guest.kill(self._number, signal.SIGTERM)
            with anyio.move_on_after(grace_s):
                await self._pending.ended.wait()
        await self._end()

    async def _end(self) -> None:
        if self._pending.ended.is_set() or not self._pending.is_sent:
            return
        self._guest.kill(self._number, signal.SIGKILL)
        with anyio.move_on_after(_DEATH_S):
            await self._pending.ended.wait()
        if not self._pending.ended.is_set():
            self._guest.lose()  # stopped or impersonated: then nothing less ends the command

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._end()
        self._guest.forget(self._number)


async def until_ready(guest: Guest, stderr: PipeReader) -> None:
    """Wait for a guest that was just started; `stderr` is its own. Raises LauncherError `sandbox_failed`."""
    with anyio.move_on_after(_READY_S):
        await guest.ready.wait()
    if guest.gone.is_set() or not guest.ready.is_set():
        complaint = stderr.read_rest().decode(errors="replace").strip()
        raise LauncherError(
            "sandbox_failed",
            f"the guest of the kept sandbox did not start: {complaint or 'it said nothing'}",
            "it needs Python 3.9 or newer: the system's, or the daemon's own",
        )


def _encode(command: Command) -> bytes:
    """The command as the guest reads it. Raises LauncherError `command_invalid`."""
    check_command(command)
    content = {"argv": command.argv, "cwd": str(command.cwd), "env": dict(command.env)}
    return json.dumps(content).encode()


def _wait_status(value: int) -> ExitStatus | None:
    if os.WIFEXITED(value):
        return ExitStatus(code=os.WEXITSTATUS(value), signal=None)
    if os.WIFSIGNALED(value):
        return ExitStatus(code=None, signal=os.WTERMSIG(value))
    return None


def sandbox_gone() -> LauncherError:
    """What every use of a kept sandbox raises once it has ended."""
    return LauncherError("sandbox_gone", "the kept sandbox has ended", "start a new one")
