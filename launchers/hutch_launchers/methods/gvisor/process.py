"""The command of a gVisor sandbox: runsc asks it to end, as no process of the host is the command."""

from collections.abc import Sequence
from contextlib import suppress

import anyio
import anyio.to_thread

from hutch_launchers.containers.cli import call
from hutch_launchers.launcher import LauncherError, SandboxProcess
from hutch_launchers.outer_process import OuterProcess

_DEATH_S = 5.0  # from SIGKILL to the end of gVisor itself


class GvisorProcess(OuterProcess):
    """Around the process of the front program."""

    def __init__(self, process: SandboxProcess, kill: Sequence[str]) -> None:
        """`kill`: the words that send a signal, without it."""
        super().__init__(process)
        self._kill = kill

    async def interrupt(self) -> None:
        await self._send("INT")

    async def stop(self, grace_s: float) -> None:
        for signal, patience_s in (("TERM", grace_s), ("KILL", _DEATH_S)):
            with anyio.move_on_after(patience_s):
                await self._send(signal)
                await self.wait()
                break
        await super().stop(0)  # all that came of it

    async def _send(self, signal: str) -> None:
        with suppress(LauncherError):  # it has ended
            await anyio.to_thread.run_sync(call, [*self._kill, signal])
