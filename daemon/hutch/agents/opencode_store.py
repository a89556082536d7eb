"""OpenCode's conversations, read from the database in a volume: a hostile one, in bounded time."""

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hutch.agents.beneath import file_beneath, folder_beneath

_DATABASE = "opencode.db"
_JOURNAL = "opencode.db-wal"  # the newest of it, perhaps all: the database alone is an old one
_MOST_BYTES = 4 << 30
_MOST_SESSIONS = 1000
_WITHIN_S = 2.0
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
    database.execute("PRAGMA trusted_schema = OFF")
    rows = database.execute(_QUERY, (_MOST_SESSIONS,)).fetchall()
    return tuple(row[0] for row in rows if isinstance(row[0], str))


def _copy(folder: int, name: str, target: Path) -> None:
    """Copy a regular file; one that is not there stays away. Raises OSError, ValueError."""
    with suppress(FileNotFoundError), file_beneath(folder, name) as source, target.open("wb") as copy:
        if os.fstat(source.fileno()).st_size > _MOST_BYTES:
            raise ValueError("too large")
        shutil.copyfileobj(source, copy)
