"""One running bubblewrap: started held, set up from outside, let go, and ended with all that is in it."""

import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import anyio

from hutch_launchers import proc
from hutch_launchers.bwrap_argv import Handles, Options, bwrap_argv, hosts
from hutch_launchers.bwrap_binary import Binary
from hutch_launchers.launcher import LauncherError
from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import Child, LocalProcess, PidWatch, Pipes, Stdio, wait_for_death
from hutch_launchers.seccomp import seccomp_filter
from hutch_launchers.sources import open_sources
from hutch_launchers.spec import ExitStatus, Guarantee, Mount, SandboxSpec
from hutch_launchers.streams import PipeReader
from hutch_launchers.system_view import group, passwd

MARK = "HUTCH_SANDBOX"  # in the environment of bwrap, not of the command: tells a later daemon whose it was

_MAX_STATUS = 65536  # bytes of bwrap's report
_START_S = 30.0  # a held start takes milliseconds; a host this late will not do
_REPORT_S = 2.0  # the namespaces of a bwrap that is to be killed
_COMPLAINT_S = 1.0  # for bwrap's last words
_COMMAND_PID = 2  # the command's number inside: bwrap's init is 1 and forks once
_FIND_S = 0.005  # between two looks for a command that is about to be started
_MAX_ARGS = 9000  # MAX_ARGS of bubblewrap.c
_NOT_EXECUTED = 127  # what a shell says of a command that it cannot start


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that a start needs."""

    binary: Binary
    options: Options
    spec: SandboxSpec
    confinement: Confinement
    argv: Sequence[str]
    cwd: PurePosixPath
    env: Mapping[str, str] = field(repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # path inside -> content
    mounts: tuple[Mount, ...] = ()  # of ours, before those of the spec


class Bubble:
    """A bubblewrap and the PID namespace that it made. Owns both until `aclose`."""

    def __init__(self, child: Child, gate: socket.socket, status: PipeReader) -> None:
        self.child = child
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
        if status.code and b'"exit-code"' not in self._status.read_rest():
            return ExitStatus(code=_NOT_EXECUTED, signal=None)  # bwrap's own failure, told on stderr
        return status

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
        if self.init is not None:
            self.init.close()


class _SetupError(Exception):
    """bubblewrap gave up before it could start the command; it says why on stderr."""


Prepare = Callable[[Bubble], Awaitable[None]]


async def start_bubble(start: Start, stdio: Stdio, complaints: PipeReader, prepare: Prepare) -> Bubble:
    """Start bubblewrap, hold it, apply the limits, run `prepare`, and let the command begin.

    `complaints` reads what bwrap writes to its stderr; `stdio` is closed by the caller.
    Raises LauncherError; nothing runs then.
    """
    bubble = _spawn(start, stdio)
    try:
        with anyio.fail_after(_START_S):
            await bubble.arrive()
            assert bubble.init is not None
            start.confinement.hold(bubble.init_pid, bubble.init)
            await prepare(bubble)
            await bubble.let_go()
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await bubble.kill()
            complaint = await _read_all(complaints)
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
    with ExitStack() as inherited:
        gate, block = socket.socketpair()
        inherited.callback(block.close)
        status, status_writer = os.pipe2(os.O_CLOEXEC)
        inherited.callback(os.close, status_writer)
        try:
            handles = _open_handles(start, inherited, (status_writer, block.fileno(), gate.fileno()))
            flags = bwrap_argv(start.options, handles, start.cwd, start.env, spec.limits.disk_bytes)
            args = _data(b"".join(word.encode(errors="surrogateescape") + b"\0" for word in flags), inherited)
            _check_words(start, flags)
            child = Child(
                [start.binary.path, "--args", str(args), "--", *start.argv],
                env={MARK: spec.run_id},
                stdio=stdio,
                pass_fds=(args, *_inherited_fds(handles)),
                spawn=start.confinement.spawn,
            )
        except BaseException:
            gate.close()
            os.close(status)
            raise
    os.set_blocking(gate.fileno(), False)
    return Bubble(child, gate, PipeReader(status))


def _open_handles(start: Start, stack: ExitStack, channels: tuple[int, int, int]) -> Handles:
    mounts = (*start.mounts, *start.spec.mounts)
    sources: list[int | str] = list(open_sources(mounts, stack))
    if not start.binary.has_bind_fd:
        sources = [str(mount.source) for mount in mounts]  # an older bwrap looks the path up once more
    files = {
        **dict(start.options.view.files),
        "/etc/passwd": passwd(),
        "/etc/group": group(),
        "/etc/hosts": hosts(start.spec.egress),
        "/etc/hostname": b"hutch\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
        "/etc/resolv.conf": b"# names are resolved by /etc/hosts alone\noptions timeout:1 attempts:1\n",
        **start.files,
    }
    program = seccomp_filter(pins_cpus=start.confinement.pins_cpus)
    return Handles(
        files={path: _data(content, stack) for path, content in files.items()},
        mounts=tuple((m.target, m.writable, source) for m, source in zip(mounts, sources, strict=True)),
        seccomp=None if program is None else _data(program, stack),
        status=channels[0],
        block=channels[1],
        sync=channels[2],
    )


def _inherited_fds(handles: Handles) -> list[int]:
    mounts = [source for _, _, source in handles.mounts if isinstance(source, int)]
    optional = [] if handles.seccomp is None else [handles.seccomp]
    return [*handles.files.values(), *mounts, *optional, handles.status, handles.block, handles.sync]


def _data(content: bytes, stack: ExitStack) -> int:
    """A descriptor that yields `content` from its start."""
    fd = os.memfd_create("hutch", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.pwrite(fd, content, 0)
    return fd


def _check_words(start: Start, flags: Sequence[str]) -> None:
    """Raise LauncherError `command_invalid` for what would not arrive inside as it is."""
    problem = ""
    if not start.argv or not start.argv[0]:
        problem = "it has no words"
    elif any("\0" in word for word in (*start.argv, *flags)):
        problem = "a word, the working folder or the environment holds a NUL"
    elif any(not name or "=" in name for name in start.env):
        problem = "a name in its environment is empty or holds '='"
    elif not start.cwd.is_absolute():
        problem = f"its working folder {str(start.cwd)!r} is not absolute"
    elif len(flags) > _MAX_ARGS:
        problem = "its environment and mounts are more than bubblewrap takes"
    if problem:
        raise LauncherError("command_invalid", f"the command cannot be started: {problem}")


async def _read_all(stream: PipeReader) -> str:
    """What bwrap said, without its name; all who could write have ended."""
    text = b""
    with suppress(anyio.EndOfStream, anyio.ClosedResourceError), anyio.move_on_after(_COMPLAINT_S):
        while len(text) < _MAX_STATUS:
            text += await stream.receive()
    return text.decode(errors="replace").strip().removeprefix("bwrap: ")


class BubbleProcess(LocalProcess):
    """The command that a bubble was started for."""

    def __init__(self, bubble: Bubble, pipes: Pipes, confinement: Confinement) -> None:
        super().__init__(bubble.child, pipes.stdin, pipes.stdout, pipes.stderr)
        self._bubble = bubble
        self._confinement = confinement

    @property
    def pid(self) -> int | None:
        return self._bubble.init_pid

    async def wait(self) -> ExitStatus:
        await self._child.wait()
        status = self._bubble.exit_status()
        return mark_memory(status, self._confinement.memory_strikes())

    async def _ask(self) -> None:
        # SIGTERM to bwrap or to its init would end all at once: it is the command itself that is asked
        while not self._child.has_ended:
            if pid := self._bubble.command_pid():
                with suppress(OSError):
                    watch = PidWatch(os.pidfd_open(pid))
                    if self._bubble.command_pid() == pid:  # then the descriptor is the command's
                        watch.send(signal.SIGTERM)
                    watch.close()
                return
            await anyio.sleep(_FIND_S)

    async def _kill(self) -> None:
        await self._bubble.kill()

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            self._bubble.close()


def mark_memory(status: ExitStatus, strikes: int) -> ExitStatus:
    """The status; a kill for memory and an end by SIGKILL together say that the limit was its cause."""
    killed = signal.SIGKILL in (status.signal, (status.code or 0) - 128)
    return ExitStatus(status.code, status.signal, Guarantee.MEMORY) if strikes and killed else status
