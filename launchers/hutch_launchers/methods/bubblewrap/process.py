"""The command that a bubble was started for."""

import re

import anyio
from anyio.abc import ByteReceiveStream

from hutch_launchers.freezer import Freezer
from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import LocalProcess, Pipes
from hutch_launchers.methods.bubblewrap.bubble import Bubble
from hutch_launchers.spec import ExitStatus
from hutch_launchers.streams import PipeReader

# What bwrap says where it cannot execute the command: in three pieces, and all that there is on stderr then
_BEGIN = b"bwrap: "
_NOT_EXECUTED = re.compile(rb"bwrap: execvp (?P<command>.{1,4096}): (?P<why>[^:\n]{1,80})\n", re.DOTALL)


class BubbleProcess(LocalProcess):
    """A `SandboxProcess`. Owns the bubble and our ends of the pipes."""

    def __init__(self, bubble: Bubble, pipes: Pipes, confinement: Confinement) -> None:
        super().__init__(bubble.child, pipes.stdin, pipes.stdout, pipes.stderr)
        self._told = _Stderr(pipes.stderr)
        self._bubble = bubble
        self._confinement = confinement

    @property
    def pid(self) -> int | None:
        return self._bubble.init_pid

    @property
    def stderr(self) -> ByteReceiveStream:
        return self._told

    async def wait(self) -> ExitStatus:
        await self._child.wait()
        status = self._bubble.exit_status()
        return self._confinement.mark(status)

    @property
    def freezer(self) -> Freezer:
        return self._confinement.freezer

    def _command_pid(self) -> int | None:
        # SIGTERM to bwrap or to its init would end all at once
        return self._bubble.command_pid()

    async def _kill(self) -> None:
        await self._bubble.kill()

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            self._bubble.close()


class _Stderr(ByteReceiveStream):
    """The command's stderr. Where there was no command to start, it says so in our words, not in bwrap's."""

    def __init__(self, stream: PipeReader) -> None:
        self._stream = stream
        self._is_first = True

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data = await self._stream.receive(max_bytes)
        if self._is_first:
            self._is_first = False
            while data == _BEGIN or (data.startswith(_BEGIN + b"execvp") and not data.endswith(b"\n")):
                try:
                    data += await self._stream.receive(max_bytes)
                except anyio.EndOfStream:
                    break
            if told := _NOT_EXECUTED.fullmatch(data):
                return b"hutch: %b: %b inside the sandbox\n" % (told["command"], told["why"])
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()
