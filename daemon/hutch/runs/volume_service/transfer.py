"""Folders of volumes as tar archives, on their way through the daemon: a bounded part of one in memory."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
from anyio import from_thread, to_thread

from hutch.errors import HutchError
from hutch.volumes import Snapshot, VolumeName, Volumes
from hutch.volumes.reading import parse_path
from hutch.volumes.transfer.archive_reader import Judge, read_archive
from hutch.volumes.transfer.archive_writer import write_folder
from hutch_mcp_tools.events import Events, RunEvent

_WRITER = "volume put"  # who holds a volume for as long as something is put into it


async def send_folder(volumes: Volumes, name: VolumeName, path: str, at: int, events: Events) -> None:
    """Send a folder as an archive, in the data of events. Raises what `Volumes.folder` raises."""
    async with volumes.folder(name, path, at) as folder:

        def take(piece: bytes) -> None:
            from_thread.run(events.send, RunEvent(data=piece))

        with suppress(anyio.BrokenResourceError):  # nobody listens any more
            await to_thread.run_sync(write_folder, folder, take)


async def put_archive(
    volumes: Volumes, name: VolumeName, path: str, data: AsyncIterable[bytes], *, replaces: bool
) -> Snapshot | None:
    """Put an archive's content as one commit.

    The volume is held from the beginning on, so that nobody sends gigabytes to hear that it is not free.

    Raises:
        HutchError: `archive_invalid`, `quota_exceeded` as soon as it shows, and what `Volumes.lease` and
            `Volumes.put_folder` raise.
    """
    parse_path(path)  # refused before a volume is made for it
    async with volumes.lease(name, _WRITER, create=True) as lease, volumes.scratch() as scratch:
        await _unpack(data, scratch, lambda made: volumes.refuse_more(name, made.files, made.bytes))
        return await volumes.put_folder(lease, path, scratch, replaces=replaces)


async def _unpack(data: AsyncIterable[bytes], folder: Path, judge: Judge) -> None:
    """Unpack an archive as it comes."""
    reading = partial(read_archive, Pieces(aiter(data)), folder, judge=judge)
    unpacked = await to_thread.run_sync(reading)
    if unpacked.lost_xattrs:
        raise HutchError(
            "folder_failed",
            "the disk of daemon.cache keeps no extended attributes",
            "put daemon.cache on another file system",
        )


class Pieces:
    """An asynchronous stream of bytes, as a thread's file."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Wait for the next piece where nothing is left; b"" at the end."""
        while not self._left:
            try:
                self._left = memoryview(from_thread.run(self._next))
            except StopAsyncIteration:
                return b""
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)

    async def _next(self) -> bytes:
        return await anext(self._pieces)
