"""The turns of agents that were asked for and are not over."""

import json
import sqlite3
from dataclasses import asdict
from typing import Any

from hutch.state.database import Database
from hutch.state.records import Turn

_JSON = ("runs", "request", "fork")


class TurnRows(Database):
    """The part of the state that a restarted daemon goes on from."""

    async def put_turn(self, turn: Turn) -> None:
        """Insert or replace the turn of its session."""
        row = asdict(turn)
        row |= {name: json.dumps(row[name]) for name in _JSON}
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        await self._execute(f"INSERT OR REPLACE INTO turns ({names}) VALUES ({marks})", *row.values())  # noqa: S608

    async def turns(self) -> list[Turn]:
        """Return them as they were asked for."""
        return [_turn(row) for row in await self._all("SELECT * FROM turns ORDER BY asked_at")]

    async def forget_turn(self, session_id: str) -> None:
        await self._execute("DELETE FROM turns WHERE session_id = ?", session_id)


def _turn(row: sqlite3.Row) -> Turn:
    values: dict[str, Any] = dict(row)
    values |= {name: json.loads(values[name]) for name in _JSON}
    return Turn(**values | {"runs": tuple(values["runs"])})
