"""Content from folders that lie on this host already, instead of from the store.

A file is looked for at the path where it belongs, and its bytes are believed by their hash alone (invariant
6). So it does not matter whose folder it is, who is at work in it or whether it just leaves the cache:
nothing of it is locked, trusted or changed.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hutch.volumes.folder.beneath import FILE_FLAGS, FOLDER_FLAGS
from hutch.volumes.folder.restored import Folders
from hutch.volumes.tree.nodes import Trail
from hutch.volumes.tree.packs import digest

_PROBES = 8  # files that a folder is asked for first


class Piece(NamedTuple):
    """A part of a file, by its hash."""

    above: Trail | None
    name: bytes
    position: int
    length: int
    hash: str


class Lender:
    """Reads from one folder; for one thread. The caller closes `root`."""

    def __init__(self, root: int) -> None:
        self._root = root

    def __enter__(self) -> "Lender":
        self._folders = Folders(self._root).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._folders.close()

    def content(self, piece: Piece) -> bytes | None:
        """None: the folder does not have it."""
        try:
            fd = os.open(piece.name, FILE_FLAGS, dir_fd=self._folders.of(piece.above))
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            content = os.pread(fd, piece.length, piece.position)
        except OSError:
            return None
        finally:
            os.close(fd)
        return content if digest(content) == piece.hash else None


def open_lender(folders: Iterable[Path], pieces: Sequence[Piece]) -> int | None:
    """The first folder that has at least half of what it is asked for, opened; the caller closes it."""
    probes = pieces[:: max(1, len(pieces) // _PROBES)]
    for folder in folders if probes else ():
        try:
            root = os.open(folder, FOLDER_FLAGS)
        except OSError:  # it left
            continue
        with Lender(root) as asked:
            if 2 * sum(asked.content(piece) is not None for piece in probes) >= len(probes):
                return root
        os.close(root)
    return None
