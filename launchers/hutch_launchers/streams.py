"""Pipe ends as anyio byte streams that own their descriptor: no transport, no thread."""

import os
from contextlib import suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint


class _PipeEnd:
    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def close(self) -> None:
        """Close at once; who waits to receive or to send gets a ClosedResourceError. Idempotent."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            anyio.notify_closing(fd)
            os.close(fd)

    async def aclose(self) -> None:
        self.close()
        await checkpoint()


class PipeReader(_PipeEnd, ByteReceiveStream):
    """The reading end of a pipe. Takes over `fd`."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await checkpoint()
        while self._fd >= 0:
            try:
                data = os.read(self._fd, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._fd)
                continue
            if not data:
                raise anyio.EndOfStream
            return data
        raise anyio.ClosedResourceError

    def read_rest(self) -> bytes:
        """What is there now, without waiting."""
        data = b""
        if self._fd >= 0:
            with suppress(BlockingIOError):
                while part := os.read(self._fd, 65536):
                    data += part
        return data


class PipeWriter(_PipeEnd, ByteSendStream):
    """The writing end of a pipe. Takes over `fd`."""

    async def send(self, item: bytes) -> None:
        await checkpoint()
        rest = memoryview(item)
        while rest:
            if self._fd < 0:
                raise anyio.ClosedResourceError
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._fd)
            except BrokenPipeError as error:
                raise anyio.BrokenResourceError from error
