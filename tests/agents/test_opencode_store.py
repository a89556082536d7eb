"""A database of OpenCode's that a sandbox made is read at no cost to the host."""

import os
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

from hutch.agents.beneath import folder_beneath
from hutch.agents.opencode_store import _copy, stored_sessions


def test_what_is_of_holes_takes_no_room_on_this_host(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "opencode.db", isolation_level=None)) as made:
        made.execute("CREATE TABLE session (id, parent_id, time_updated)")
        made.execute("INSERT INTO session VALUES ('ses_1', NULL, 1)")
    os.truncate(tmp_path / "opencode.db", 3 << 30)
    copy = tmp_path / "copy"
    with folder_beneath(tmp_path) as folder:
        _copy(folder, "opencode.db", copy)
    assert (copy.stat().st_size, copy.stat().st_blocks < 1 << 11) == (3 << 30, True)
    assert stored_sessions(tmp_path) == ("ses_1",)


def test_a_value_that_it_makes_up_takes_no_memory(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "opencode.db", isolation_level=None)) as made:
        made.execute("CREATE TABLE session (parent_id, time_updated)")
        large = "hex(zeroblob(400000000))"
        made.execute(f"ALTER TABLE session ADD COLUMN id TEXT GENERATED ALWAYS AS ({large})")
        made.execute("INSERT INTO session VALUES (NULL, 1)")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert stored_sessions(tmp_path) == ()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
