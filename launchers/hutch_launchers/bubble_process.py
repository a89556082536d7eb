"""The command that a bubble was started for."""

import os
import signal
from contextlib import suppress

import anyio

from hutch_launchers.bubble import Bubble
from hutch_launchers.limits import Confinement, mark_memory
from hutch_launchers.local_process import LocalProcess, PidWatch, Pipes
from hutch_launchers.spec import ExitStatus

_FIND_S = 0.005  # between two looks for a command that is about to be started


class BubbleProcess(LocalProcess):
    """A `SandboxProcess`. Owns the bubble and our ends of the pipes."""

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
