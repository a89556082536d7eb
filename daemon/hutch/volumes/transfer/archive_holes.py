"""Files with holes in a tar stream, in the form of GNU tar (PAX, version 1.0), which tar itself reads too.

Before the content stands a map: the number of parts, then where each begins and how long it is.
"""

import io
import os
import tarfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

from hutch.volumes.tree.packs import digest

Extents = Sequence[tuple[int, int]]  # offset and length of what is no hole

_BLOCK = tarfile.BLOCKSIZE


def with_holes(member: tarfile.TarInfo, extents: Extents) -> bytes:
    """Make the member tell of its holes; returns the map, which goes before its content."""
    size = member.size
    # A file that ends with a hole has an empty last part, so that its end is told.
    parts = [*extents, (size, 0)] if not extents or sum(extents[-1]) < size else extents
    text = "".join(f"{number}\n" for number in (len(parts), *(each for part in parts for each in part)))
    table = text.encode()
    table += bytes(-len(table) % _BLOCK)
    member.pax_headers = {
        **member.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": member.name,
        "GNU.sparse.realsize": str(size),
    }
    # Only for programs that do not know the form. A name that needs a header would hide the real one.
    member.name = f"GNUSparseFile.0/{digest(os.fsencode(member.name))[:32]}"
    member.size = len(table) + sum(length for _, length in extents)
    return table


class Parts(io.RawIOBase):
    """The map, then the parts of a file one after another."""

    def __init__(self, table: bytes, fd: int, extents: Extents) -> None:
        self._table = table
        self._fd = fd
        self._extents = list(extents)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """How much it was; 0 at the end, or where the file was cut off meanwhile."""
        view = memoryview(buffer).cast("B")
        piece = self._next(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def _next(self, size: int) -> bytes:
        if self._table:
            piece, self._table = self._table[:size], self._table[size:]
            return piece
        if not self._extents:
            return b""
        offset, length = self._extents[0]
        piece = os.pread(self._fd, min(size, length), offset)
        if len(piece) == length:
            del self._extents[0]
        else:
            self._extents[0] = (offset + len(piece), length - len(piece))
        return piece
