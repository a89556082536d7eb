"""A database of OpenCode's that a sandbox made is read at no cost to the host."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hutch.agents.beneath import folder_beneath
from hutch.agents.opencode_store import _copy, stored_sessions
from hutch.errors import HutchError


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "place" / "tree"
    folder.mkdir(parents=True)
    return folder


def test_a_large_one_with_a_journal_is_read_where_it_lies(volume: Path) -> None:
    made = sqlite3.connect(volume / "opencode.db", isolation_level=None)
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("CREATE TABLE session (id, parent_id, time_updated, filler)")
    made.execute("INSERT INTO session VALUES ('ses_1', NULL, 1, zeroblob(3000000))")
    made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.execute("INSERT INTO session VALUES ('ses_2', NULL, 2, zeroblob(100))")
    made.execute("INSERT INTO session VALUES ('ses_3', 'ses_2', 3, zeroblob(100))")
    before = _files(volume)
    with _no_file_over(1 << 20):
        assert stored_sessions(volume) == ("ses_2", "ses_1")
    assert _files(volume) == before
    assert [path.name for path in volume.parent.iterdir()] == ["tree"]
    made.close()


def test_what_is_of_holes_takes_no_room_on_this_host(volume: Path, tmp_path: Path) -> None:
    _make(volume / "opencode.db")
    os.truncate(volume / "opencode.db", 3 << 30)
    copy = tmp_path / "copy"
    with folder_beneath(volume) as folder:
        _copy(folder, "opencode.db", copy)
    assert (copy.stat().st_size, copy.stat().st_blocks < 1 << 11) == (3 << 30, True)
    assert stored_sessions(volume) == ("ses_1",)


def test_a_large_one_that_has_to_be_copied_is_refused(volume: Path, tmp_path: Path) -> None:
    _make(volume / "opencode.db")
    with folder_beneath(volume) as folder, pytest.raises(HutchError, match="too large") as raised:
        _copy(folder, "opencode.db", tmp_path / "copy", most=4096)
    assert raised.value.code == "volume_state_invalid"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["opencode.db", "opencode.db-wal"])
def test_what_is_no_file_is_not_opened(volume: Path, tmp_path: Path, name: str, kind: str) -> None:
    _make(volume / "opencode.db")
    _make(tmp_path / "elsewhere")
    (volume / name).unlink(missing_ok=True)
    match kind:
        case "link":
            (volume / name).symlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(volume / name)
        case _:
            (volume / name).mkdir()
    assert stored_sessions(volume) == ()


def test_a_value_that_it_makes_up_takes_no_memory(volume: Path) -> None:
    with closing(sqlite3.connect(volume / "opencode.db", isolation_level=None)) as made:
        made.execute("CREATE TABLE session (parent_id, time_updated)")
        large = "hex(zeroblob(400000000))"
        made.execute(f"ALTER TABLE session ADD COLUMN id TEXT GENERATED ALWAYS AS ({large})")
        made.execute("INSERT INTO session VALUES (NULL, 1)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert stored_sessions(volume) == ()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def _make(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as made:
        made.execute("CREATE TABLE session (id, parent_id, time_updated)")
        made.execute("INSERT INTO session VALUES ('ses_1', NULL, 1)")


def _files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_nlink)
        for path in folder.iterdir()
        if not path.name.endswith("-shm")  # of the connection that is open
    }


@contextmanager
def _no_file_over(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
