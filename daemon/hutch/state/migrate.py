"""Brings a database to the newest numbered schema, one transaction a step."""

import re
from importlib import resources

import aiosqlite

from hutch.errors import HutchError

_NAME = re.compile(r"(\d{4})_\w+\.sql")


def steps() -> list[tuple[int, str]]:
    """Return every migration as (number, SQL), in order."""
    folder = resources.files("hutch.state").joinpath("schema")
    found = ((_NAME.fullmatch(item.name), item) for item in folder.iterdir())
    return sorted((int(match[1]), item.read_text(encoding="utf-8")) for match, item in found if match)


async def migrate(db: aiosqlite.Connection) -> int:
    """Apply what is missing and return the schema's number.

    Raises:
        HutchError: `state_newer` when a newer Hutch wrote this database.
    """
    row = await (await db.execute("PRAGMA user_version")).fetchone()
    at = row[0] if row else 0
    known = steps()
    newest = known[-1][0]
    if at > newest:
        raise HutchError(
            "state_newer",
            f"the state database has schema {at}, this Hutch knows {newest}",
            "upgrade Hutch, or point `daemon.state` at another folder",
        )
    for number, sql in known:
        if number > at:
            # executescript commits what is open, so the transaction is written into the script itself
            await db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
    return newest
