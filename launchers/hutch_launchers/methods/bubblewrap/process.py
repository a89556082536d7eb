"""The command that a bubble was started for."""

from contextlib import AbstractAsyncContextManager

from hutch_launchers.limits import Confinement
from hutch_launchers.local_process import LocalProcess, Pipes
from hutch_launchers.methods.bubblewrap.bubble import Bubble
from hutch_launchers.spec import ExitStatus


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
        return self._confinement.mark(status)

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self._confinement.freezer.frozen()

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
