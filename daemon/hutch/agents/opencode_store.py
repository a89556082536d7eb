"""OpenCode's conversations, read from the database in a volume: a hostile one, in bounded time."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hutch.agents.beneath import file_beneath, folder_beneath

_DATABASE = "opencode.db"
_JOURNAL = "opencode.db-wal"  # the newest of it, perhaps all: the database alone is an old one
_MOST_BYTES = 4 << 30
_MOST_SESSIONS = 1000
_PIECE = 1 << 20
_WITHIN_S = 2.0
_MOST_VALUE = (
    64 << 20
)  # bytes of one value, which a query makes at once: nothing looks at the clock meanwhile
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_QUERY = (
    "SELECT substr(id, 1, 80) FROM session WHERE parent_id IS NULL ORDER BY time_updated DESC, id LIMIT ?"
)


def stored_sessions(root: Path, *names: str) -> tuple[str, ...]:
    """Return what ids the database in `root/names...` has, newest first; none where it cannot be read.

    A copy is opened: SQLite takes the journal in, and writes beside what it opens.
    """
    try:
        with folder_beneath(root, *names) as folder, TemporaryDirectory(prefix="hutch-") as copy:
            for name in (_DATABASE, _JOURNAL):
                _copy(folder, name, Path(copy) / name)
            with closing(sqlite3.connect(Path(copy) / _DATABASE)) as database:
                return _ids(database)
    except (OSError, sqlite3.Error, ValueError):
        return ()


def _ids(database: sqlite3.Connection) -> tuple[str, ...]:
    ends = time.monotonic() + _WITHIN_S
    database.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE)
    database.execute("PRAGMA trusted_schema = OFF")
    rows = database.execute(_QUERY, (_MOST_SESSIONS,)).fetchall()
    return tuple(row[0] for row in rows if isinstance(row[0], str))


def _copy(folder: int, name: str, target: Path) -> None:
    """Copy a regular file; one that is not there stays away. Raises OSError, ValueError.

    Its holes stay holes: what takes no room in the volume takes none on this host.
    """
    with suppress(FileNotFoundError), file_beneath(folder, name) as source, target.open("wb") as copy:
        fd = source.fileno()
        size = os.fstat(fd).st_size
        if size > _MOST_BYTES:
            raise ValueError("too large")
        for start, end in _filled(fd, size):
            for at in range(start, end, _PIECE):
                copy.seek(at)
                copy.write(os.pread(fd, min(_PIECE, end - at), at))
        copy.truncate(size)


def _filled(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a file that hold data: from, to."""
    end = 0
    with suppress(OSError):  # ENXIO: there is no more of it
        while end < size:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
            yield start, min(end, size)
