"""One running bubblewrap: started held, set up from outside, let go, and ended with all that is in it."""

import json
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import anyio

from hutch_launchers import proc
from hutch_launchers.commands import check_command
from hutch_launchers.constants import open_constant
from hutch_launchers.doors import door_maker
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import Child, PidWatch, Stdio, wait_for_death
from hutch_launchers.methods.bubblewrap.argv import Bound, Handles, Options, bwrap_argv
from hutch_launchers.methods.bubblewrap.binary import Binary
from hutch_launchers.methods.bubblewrap.hold import Hold
from hutch_launchers.own_files import own_files
from hutch_launchers.reaping import MARK
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import check_target, open_sources
from hutch_launchers.spawner import Spawner
from hutch_launchers.spec import Command, ExitStatus, Mount, SandboxSpec
from hutch_launchers.streams import PipeReader

_MAX_STATUS = 65536  # bytes of bwrap's report
_START_S = 30.0  # a held start takes milliseconds; a host this late will not do
_REPORT_S = 10.0  # the namespaces of a bwrap that is to be killed, on a busy host
_COMMAND_PID = 2  # the command's number inside: bwrap's init is 1 and forks once
_MAX_ARGS = 9000  # MAX_ARGS of bubblewrap.c
_NOT_EXECUTED = 127  # what a shell says of a command that it cannot start


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that a start needs."""

    binary: Binary
    options: Options
    spec: SandboxSpec
    confinement: Confinement
    command: Command
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # path inside -> content
    mounts: tuple[Mount, ...] = ()  # of ours, before those of the spec
    spawner: Spawner | None = None


class Bubble:
    """A bubblewrap and the PID namespace that it made. Owns both until `aclose`."""

    def __init__(self, child: Child, gate: socket.socket, status: PipeReader, hold: Hold | None) -> None:
        self.child = child
        self._hold = hold
        self._gate = gate
        self._status = status
        self._report = b""
        self.init: PidWatch | None = None
        self.init_pid = 0

    async def arrive(self) -> None:
        """Wait until the namespaces are there; the sandbox is then held before it starts its command."""
        while b"\n" not in self._report and len(self._report) < _MAX_STATUS:
            try:
                self._report += await self._status.receive()
            except anyio.EndOfStream:
                raise _SetupError from None
        self.init_pid = int(json.loads(self._report.partition(b"\n")[0])["child-pid"])
        try:
            self.init = PidWatch(os.pidfd_open(self.init_pid))
        except OSError as error:
            raise _SetupError from error

    async def let_go(self) -> None:
        """Let it start its command, and return when it is about to: its set-up has then succeeded."""
        try:
            self._gate.send(b"\1")
            if self._hold is not None:
                await self._hold.pass_on()
            await anyio.wait_readable(self._gate)
            self._gate.recv(1)
        except ConnectionError as error:  # it closed its end with our word unread
            raise _SetupError from error

    def command_pid(self) -> int | None:
        """The host's number of the command's own process."""
        for pid in proc.children(self.init_pid):
            if proc.inner_pid(pid) == _COMMAND_PID:
                return pid
        return None

    def exit_status(self) -> ExitStatus:
        """How the command ended, as far as bubblewrap tells: a signal is its code 128+n."""
        status = self.child.exit_status
        self._report += self._status.read_rest()
        if status.code and b'"exit-code"' not in self._report:
            return ExitStatus(code=_NOT_EXECUTED, signal=None)  # bwrap's own failure, told on stderr
        return status

    def end(self) -> None:
        """Begin to end everything in it, without waiting."""
        if self.init is not None:
            self.init.send(signal.SIGKILL)

    async def kill(self) -> None:
        """End everything in it and return when it has ended."""
        if self.init is None:
            # killed between its clone and its report, bwrap would leave an init that nobody knows
            with suppress(_SetupError), anyio.move_on_after(_REPORT_S):
                await self.arrive()
        ends = [watch for watch in (self.init, self.child) if watch is not None]
        for watch in ends:
            if not watch.has_ended:
                watch.send(signal.SIGKILL)
        await wait_for_death(*ends)  # an init's end comes after that of all in its namespace

    def close(self) -> None:
        self._gate.close()
        self._status.close()
        self.child.close()
        if self._hold is not None:
            self._hold.close()
        if self.init is not None:
            self.init.close()


class _SetupError(Exception):
    """bubblewrap gave up before it could start the command; it says why on stderr."""


async def start_bubble(start: Start, stdio: Stdio, complaints: PipeReader) -> Bubble:
    """Start bubblewrap, hold it, apply the limits, open the doors, and let the command begin.

    `complaints` reads what bwrap writes to its stderr; `stdio` is closed by the caller.
    Raises LauncherError; nothing runs then.
    """
    async with door_maker(start.spec.egress) as doors:
        bubble = _spawn(start, stdio)
        try:
            with anyio.fail_after(_START_S):
                await bubble.arrive()
                assert bubble.init is not None
                start.confinement.hold(bubble.init_pid, bubble.init)
                if doors is not None:
                    await doors.open(bubble.init_pid)
                await bubble.let_go()
                start.confinement.space.hold(bubble.init_pid)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await bubble.kill()
            complaint = complaints.read_rest().decode(errors="replace").strip().removeprefix("bwrap: ")
            bubble.close()
            if isinstance(error, _SetupError | OSError | TimeoutError):
                reason = complaint or str(error) or "bubblewrap ended before it started the command"
                raise LauncherError(
                    "sandbox_failed", f"the sandbox could not be made: {reason}", "see: hutch doctor"
                ) from error
            raise
    return bubble


def _spawn(start: Start, stdio: Stdio) -> Bubble:
    spec = start.spec
    check_command(start.command)
    with ExitStack() as inherited:
        gate, block = socket.socketpair()
        inherited.callback(block.close)
        status, status_writer = os.pipe2(os.O_CLOEXEC)
        inherited.callback(os.close, status_writer)
        hold = None
        try:
            looked_up = [m for m in start.spec.mounts if m.upper or not start.binary.has_bind_fd]
            hold = Hold((mount.source for mount in looked_up), inherited) if looked_up else None
            handles = _open_handles(start, inherited, (status_writer, block.fileno(), gate.fileno()), hold)
            flags = bwrap_argv(start.options, handles, start.command, spec.limits.disk_bytes)
            args = _data("\0".join([*flags, ""]).encode(errors="surrogateescape"), inherited)
            if len(flags) > _MAX_ARGS:
                raise LauncherError(
                    "command_invalid", "its environment and mounts are more than bubblewrap takes"
                )
            child = Child(
                ["bwrap", "--args", str(args), "--", *start.command.argv],
                program=start.binary.path,  # not in the argv, which is readable inside as that of process 1
                env={MARK: spec.run_id},
                stdio=stdio,
                pass_fds=(args, *_inherited_fds(handles)),
                spawn=lambda popen: start.confinement.spawn(popen, start.spawner),
            )
        except BaseException:
            gate.close()
            os.close(status)
            if hold is not None:
                hold.close()
            raise
    os.set_blocking(gate.fileno(), False)
    return Bubble(child, gate, PipeReader(status), hold)


def _open_handles(
    start: Start, stack: ExitStack, channels: tuple[int, int, int], hold: Hold | None
) -> Handles:
    for mount in start.spec.mounts:
        check_target(mount.target)
    mounts = (*start.mounts, *start.spec.mounts)
    sources: list[int | str] = list(open_sources(mounts, stack))
    if not start.binary.has_bind_fd:
        sources = [str(mount.source) for mount in mounts]  # an older bwrap looks the path up once more
    files = {
        **own_files(start.options.view, start.spec.egress),
        **start.files,
    }
    program = seccomp_filter(pins_cpus=start.confinement.pins_cpus)
    return Handles(
        files={path: open_constant(content, stack) for path, content in files.items()},
        mounts=tuple(Bound(mount, source) for mount, source in zip(mounts, sources, strict=True)),
        seccomp=None if program is None else open_constant(program, stack),
        status=channels[0],
        block=channels[1],
        sync=channels[2],
        hold=None if hold is None else hold.reader,
    )


def _inherited_fds(handles: Handles) -> list[int]:
    mounts = [each.source for each in handles.mounts if isinstance(each.source, int)]
    optional = [each for each in (handles.seccomp, handles.hold) if each is not None]
    return [*handles.files.values(), *mounts, *optional, handles.status, handles.block, handles.sync]


def _data(content: bytes, stack: ExitStack) -> int:
    """A descriptor that yields `content` from its start."""
    fd = os.memfd_create("hutch", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.pwrite(fd, content, 0)
    return fd
