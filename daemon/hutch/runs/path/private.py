"""A folder of a run's own on the host, made for those that need one: it costs a tenth of a start."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hutch.runs.rooms import PathRooms


@dataclass(frozen=True, slots=True)
class PrivateFolder:
    """Made when it is asked for."""

    _path: Path

    def make(self) -> Path:
        """Return the folder itself, 0700, for sockets."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        return self._path

    def make_given(self) -> Path:
        """Return an empty folder within, to be mounted into the sandbox, whose user may be another."""
        inner = self.make() / "given"
        inner.mkdir(mode=0o755)
        return inner


@contextmanager
def private_folder(rooms: PathRooms, run_id: str) -> Generator[PrivateFolder]:
    """Offer a run a folder, which is gone at the end of the block."""
    path = rooms.private / run_id
    try:
        yield PrivateFolder(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)
