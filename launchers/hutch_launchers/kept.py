"""A sandbox that stays and takes further commands, whatever method made it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Protocol

from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch_launchers.freezer import Freezer
from hutch_launchers.guest_link import Guest, StartedCommand
from hutch_launchers.launcher import SandboxProcess
from hutch_launchers.local_process import Pipes, open_pipes
from hutch_launchers.spec import Command, ExitStatus
from hutch_launchers.strikes import Strikes


class Confined(Protocol):
    """What holds a sandbox to its limits, as far as it is asked."""

    @property
    def freezer(self) -> Freezer: ...

    def strikes(self) -> Strikes:
        """How often its limits have struck so far."""

    def mark(self, status: ExitStatus, before: Strikes) -> ExitStatus:
        """Return the status with the limit that has struck since, if that ended it."""


class Kept:
    """A `KeptSandbox` around a guest; it owns neither the guest nor the sandbox."""

    def __init__(
        self,
        guest: Guest,
        confinement: Confined,
        ended: Callable[[], Awaitable[ExitStatus]],
        adapt: Callable[[Command], Command] | None = None,
    ) -> None:
        """`ended` returns when the sandbox as a whole has ended; `adapt` makes a command fit the inside."""
        self._guest, self._confinement, self._ended = guest, confinement, ended
        self._adapt = adapt

    @asynccontextmanager
    async def start(self, command: Command) -> AsyncGenerator[SandboxProcess]:
        """What the command leaves running when it has ended lives on; a command that still runs is killed."""
        with ExitStack() as child_ends:
            pipes = open_pipes(child_ends)
            try:
                strikes = self._confinement.strikes()
                started = await self._guest.start(
                    self._adapt(command) if self._adapt else command, pipes.child
                )
            except BaseException:
                pipes.close()
                raise
        try:
            yield _KeptProcess(started, pipes, self._confinement, strikes)
        finally:
            try:
                await started.aclose()
            finally:
                pipes.close()

    async def wait(self) -> ExitStatus:
        return await self._ended()

    @property
    def freezer(self) -> Freezer:
        return self._confinement.freezer

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self.freezer.frozen()


class _KeptProcess:
    def __init__(
        self, started: StartedCommand, pipes: Pipes, confinement: Confined, strikes: Strikes
    ) -> None:
        self._started, self._pipes = started, pipes
        self._confinement, self._strikes = confinement, strikes  # before it started

    @property
    def pid(self) -> int | None:
        return None  # only the guest knows, and its word is that of the sandbox

    @property
    def stdin(self) -> ByteSendStream:
        return self._pipes.stdin

    @property
    def stdout(self) -> ByteReceiveStream:
        return self._pipes.stdout

    @property
    def stderr(self) -> ByteReceiveStream:
        return self._pipes.stderr

    async def wait(self) -> ExitStatus:
        status = await self._started.wait()
        return self._confinement.mark(status, self._strikes)

    async def interrupt(self) -> None:
        self._started.interrupt()

    async def stop(self, grace_s: float) -> None:
        await self._started.stop(grace_s)

    @property
    def freezer(self) -> Freezer:
        return self._confinement.freezer

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self.freezer.frozen()
