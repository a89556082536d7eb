"""The command of a gVisor sandbox: runsc asks it to end, as no process of the host is the command."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch_launchers.containers.cli import call
from hutch_launchers.freezer import Freezer
from hutch_launchers.launcher import LauncherError, SandboxProcess, Suspendable
from hutch_launchers.spec import ExitStatus

_DEATH_S = 5.0  # from SIGKILL to the end of gVisor itself


class GvisorProcess:
    """A `SandboxProcess` around that of the front program."""

    def __init__(self, process: SandboxProcess, kill: Sequence[str]) -> None:
        """`kill`: the words that send a signal, without it."""
        self._process, self._kill = process, kill

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def stdin(self) -> ByteSendStream:
        return self._process.stdin

    @property
    def stdout(self) -> ByteReceiveStream:
        return self._process.stdout

    @property
    def stderr(self) -> ByteReceiveStream:
        return self._process.stderr

    async def wait(self) -> ExitStatus:
        return await self._process.wait()

    async def interrupt(self) -> None:
        with suppress(LauncherError):  # it has ended
            await anyio.to_thread.run_sync(call, [*self._kill, "INT"])

    async def stop(self, grace_s: float) -> None:
        for signal, patience_s in (("TERM", grace_s), ("KILL", _DEATH_S)):
            with anyio.move_on_after(patience_s):
                with suppress(LauncherError):  # it has ended
                    await anyio.to_thread.run_sync(call, [*self._kill, signal])
                await self._process.wait()
                break
        await self._process.stop(0)  # all that came of it

    @property
    def freezer(self) -> Freezer:
        return self._process.freezer if isinstance(self._process, Suspendable) else Freezer(None)

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self._process.frozen()
