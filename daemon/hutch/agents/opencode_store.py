"""OpenCode's conversations, read from the database in a volume: a hostile one, in bounded time and room."""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hutch.agents.beneath import file_beneath, folder_beneath
from hutch.errors import HutchError

_DATABASE = "opencode.db"
_JOURNAL = "opencode.db-wal"  # the newest of it, perhaps all: the database alone is an old one
_MOST_COPIED = 256 << 20  # bytes that are really there, of one file
_MOST_SESSIONS = 1000
_PIECE = 1 << 20
_WITHIN_S = 2.0
# Bytes of one value, which a query makes at once: nothing looks at the clock meanwhile
_MOST_VALUE = 64 << 10
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock
_QUERY = (
    "SELECT substr(id, 1, 80) FROM session WHERE parent_id IS NULL ORDER BY time_updated DESC, id LIMIT ?"
)


def stored_sessions(root: Path, *names: str) -> tuple[str, ...]:
    """Return what ids the database in `root/names...` has, newest first; none where it cannot be read.

    SQLite writes beside what it opens, so it opens it in a folder beside `root`, by further names.
    Raises HutchError `volume_state_invalid` for one that would have to be copied, and is too large.
    """
    try:
        with (
            folder_beneath(root, *names) as folder,
            TemporaryDirectory(prefix=".opencode-", dir=root.parent) as beside,
        ):
            for name in (_DATABASE, _JOURNAL):
                _take_in(folder, name, Path(beside) / name)
            return _ids_in(Path(beside) / _DATABASE)
    except (OSError, sqlite3.Error, ValueError):
        return ()


def _take_in(folder: int, name: str, target: Path) -> None:
    """Give a regular file a second name; one that is not there stays away. Raises OSError, ValueError."""
    try:
        os.link(name, target, src_dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError:  # another owner's, or a file system without such names
        _copy(folder, name, target)
    if not stat.S_ISREG(target.lstat().st_mode):
        raise ValueError("not a regular file")


def _ids_in(file: Path) -> tuple[str, ...]:
    # For reading: the journal is taken into account, and not into the file
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        ends = time.monotonic() + _WITHIN_S
        database.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE)
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        rows = database.execute(_QUERY, (_MOST_SESSIONS,)).fetchall()
        return tuple(row[0] for row in rows if isinstance(row[0], str))


def _copy(folder: int, name: str, target: Path, most: int = _MOST_COPIED) -> None:
    """Copy a regular file. Its holes stay holes. Raises OSError, ValueError, HutchError."""
    with file_beneath(folder, name) as source, target.open("wb") as copy:
        fd = source.fileno()
        size = os.fstat(fd).st_size
        for start, end in _filled(fd, size):
            most -= end - start
            if most < 0:
                raise HutchError(
                    "volume_state_invalid",
                    f"OpenCode's '{name}' in the volume is too large to be read here",
                    "its conversations cannot be looked up; begin a new one with: hutch agent opencode --new",
                )
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
