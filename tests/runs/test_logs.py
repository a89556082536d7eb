"""What ended runs have written is let go of by age and by size; records, and what was spent, stay."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hutch.app import open_rooms
from hutch.config import parse
from hutch.errors import HutchError
from hutch.jobs import JobFolder
from hutch.runs.rooms import Rooms
from hutch.runs.upkeep.logs import let_go_of_logs, refuse_let_go
from hutch.state import Connection, Run

DAY = 86_400.0
NOW = 100 * DAY


@asynccontextmanager
async def rooms_of(folder: Path, said: str) -> AsyncGenerator[Rooms]:
    places = "\n".join(f'{name} = "{folder / name}"' for name in ("state", "cache"))
    text = f'[daemon]\n{places}\nsocket = "{folder}/d.sock"\n[logs]\n{said}'
    async with open_rooms(parse(text, {})) as rooms:
        yield rooms


async def ended(rooms: Rooms, name: str, days_ago: float, size: int = 10, **values: Any) -> Run:
    """A run that ended so long ago, with so many bytes of output."""
    at = NOW - days_ago * DAY
    run = Run(f"r-{name}", "exited", "x", "bubblewrap", at - 60, ended_at=at, stdout_bytes=size)
    run = replace(run, **values)
    (rooms.logs / run.id).mkdir(parents=True)
    (rooms.logs / run.id / "stdout").write_bytes(b"x" * size)
    await rooms.state.put_run(run)
    return run


async def left(rooms: Rooms) -> set[str]:
    noted = {run.id for run in await rooms.state.runs(100) if run.log_let_go_at is None}
    there = {folder.name for folder in rooms.logs.iterdir()}
    assert noted == there
    return {name.removeprefix("r-") for name in there}


async def test_logs_leave_by_their_age_save_of_what_lives_or_waits_for_its_store(tmp_path: Path) -> None:
    async with rooms_of(tmp_path, "kept_days = 30") as rooms:
        await ended(rooms, "young", 29)
        old = await ended(rooms, "old", 31)
        await ended(rooms, "living", 31, ended_at=None, status="running")
        await ended(rooms, "unsynced", 31, unsynced={"web": "the store is away"})
        await ended(rooms, "job", 31)
        JobFolder.of(rooms.config.daemon.state, "r-job").make()
        await let_go_of_logs(rooms, NOW)
        assert await left(rooms) == {"young", "living", "unsynced", "job"}
        record = await rooms.state.run("r-old")
        assert record == replace(old, log_let_go_at=NOW)
        with pytest.raises(HutchError, match="the log of run r-old was let go of on 1970-04-11") as refused:
            refuse_let_go(record)
        assert refused.value.code == "log_let_go"
        await let_go_of_logs(rooms, NOW + DAY)  # what is gone is not looked for again
        assert await rooms.state.run("r-old") == record


async def test_logs_leave_as_newer_ones_take_the_room_the_last_hour_never(tmp_path: Path) -> None:
    async with rooms_of(tmp_path, 'kept_days = 0\nmax_bytes = "250B"') as rooms:
        for hours, name in enumerate(("now", "recent", "older", "oldest")):
            await ended(rooms, name, hours * 1.1 / 24, 100)
        await ended(rooms, "silent", 99, 0)
        await let_go_of_logs(rooms, NOW)
        assert await left(rooms) == {"now", "recent", "silent"}
        await ended(rooms, "flood", 0, 1000)
        await let_go_of_logs(rooms, NOW)
        assert await left(rooms) == {"now", "flood", "silent"}


async def test_without_bounds_everything_stays(tmp_path: Path) -> None:
    async with rooms_of(tmp_path, 'kept_days = 0\nmax_bytes = "0B"') as rooms:
        await ended(rooms, "old", 99, 1000)
        await let_go_of_logs(rooms, NOW)
        assert await left(rooms) == {"old"}


async def test_a_folder_that_no_run_is_known_for_leaves_by_its_age(tmp_path: Path) -> None:
    async with rooms_of(tmp_path, "") as rooms:
        (rooms.logs / "r-nobodys").mkdir(parents=True)
        await let_go_of_logs(rooms, (rooms.logs / "r-nobodys").stat().st_mtime + 29 * DAY)
        assert (rooms.logs / "r-nobodys").exists()
        await let_go_of_logs(rooms, (rooms.logs / "r-nobodys").stat().st_mtime + 31 * DAY)
        assert not (rooms.logs / "r-nobodys").exists()


async def test_connections_leave_with_age_and_what_passed_stays_counted(tmp_path: Path) -> None:
    async with rooms_of(tmp_path, "") as rooms:
        state = rooms.state
        await ended(rooms, "old", 31)
        await ended(rooms, "long", 29, created_at=NOW - 31 * DAY)  # began before, and ended within
        for name in ("old", "old", "long"):
            at = NOW - 31 * DAY - 10
            await state.add_connection(Connection(f"r-{name}", at, "a.example", None, 443, 100, 20, 1, None))
        await let_go_of_logs(rooms, NOW)
        old, long = await state.run("r-old"), await state.run("r-long")
        assert old is not None
        assert long is not None
        assert await state.connections(old, 9) == []
        assert len(await state.connections(long, 9)) == 1
        assert await state.bytes_passed(run_id="r-old") == 240
        assert await state.bytes_passed(principal="owner") == 360
        assert await state.bytes_passed(principal="owner", day="1970-04-11") == 0
