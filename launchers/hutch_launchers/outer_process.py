"""A process of a sandbox with another one around it, which ends or interrupts it in its own way."""

from contextlib import AbstractAsyncContextManager

from anyio.abc import ByteReceiveStream, ByteSendStream

from hutch_launchers.freezer import Freezer
from hutch_launchers.launcher import SandboxProcess, Suspendable
from hutch_launchers.spec import ExitStatus


class OuterProcess:
    """A `SandboxProcess` that passes on whatever a class made from it does not say otherwise."""

    def __init__(self, inner: SandboxProcess) -> None:
        self._inner = inner

    @property
    def pid(self) -> int | None:
        return self._inner.pid

    @property
    def stdin(self) -> ByteSendStream:
        return self._inner.stdin

    @property
    def stdout(self) -> ByteReceiveStream:
        return self._inner.stdout

    @property
    def stderr(self) -> ByteReceiveStream:
        return self._inner.stderr

    async def wait(self) -> ExitStatus:
        return await self._inner.wait()

    async def interrupt(self) -> None:
        await self._inner.interrupt()

    async def stop(self, grace_s: float) -> None:
        await self._inner.stop(grace_s)

    @property
    def freezer(self) -> Freezer:
        return self._inner.freezer if isinstance(self._inner, Suspendable) else Freezer(None)

    def frozen(self) -> AbstractAsyncContextManager[bool]:
        return self._inner.frozen()
