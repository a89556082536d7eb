"""The connection to the state database: every statement is a transaction of its own."""

import sqlite3

import aiosqlite

from hutch.errors import HutchError


class Database:
    """Methods raise HutchError `state_failed` when the disk is full or broken."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db

    async def _execute(self, sql: str, *values: object) -> None:
        try:
            await self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise failed(error) from error

    async def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        try:
            return list(await self._db.execute_fetchall(sql, values))
        except sqlite3.Error as error:
            raise failed(error) from error


def failed(error: sqlite3.Error) -> HutchError:
    """Return what a person is meant to read of it."""
    return HutchError(
        "state_failed",
        f"the state database could not be used: {error}",
        "free space on its disk, then try again; nothing was started",
    )
