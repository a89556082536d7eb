"""The state database: one connection, one writer, every statement a transaction of its own.

Write-ahead log with `synchronous = NORMAL`: a killed daemon loses nothing; a power cut may lose the newest
rows, whose processes it has ended as well.
"""

import json
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import aiosqlite

from hutch.state.connections import ConnectionRows
from hutch.state.database import failed
from hutch.state.groups import GroupRows
from hutch.state.logs import LogRows
from hutch.state.migrate import migrate
from hutch.state.records import AccessToken, Connection, Run, Session, SessionTotals, Tokens
from hutch.state.turns import TurnRows
from hutch.state.usage import UsageRows
from hutch_mcp_tools.session_records import SessionStatus

Table = Literal["runs", "sessions"]

_QUEUED = "EXISTS (SELECT 1 FROM runs WHERE session_id = sessions.id AND runs.status = 'queued')"
_SESSIONS = (  # one is queued while its turn is, whatever it was before
    f"SELECT {', '.join(f.name for f in fields(Session) if f.name != 'status')},"  # noqa: S608
    f" iif({_QUEUED}, 'queued', status) AS status FROM sessions"
)

_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cost_usd": "cost_usd",
}
_SESSION_JSON = ("request", "result")


class Watch(Protocol):
    """Is shown what is stored, and must be quick."""

    def run(self, run: Run) -> None: ...
    def connection(self, connection: Connection) -> None: ...


class State(UsageRows, ConnectionRows, GroupRows, TurnRows, LogRows):
    """What the daemon remembers. Methods raise HutchError `state_failed` when the disk is full or broken."""

    watch: Watch | None = None

    async def put_run(self, run: Run) -> None:
        """Insert or replace the whole row."""
        await self._put("runs", _run_row(run))
        if self.watch:
            self.watch.run(run)

    async def add_connection(self, connection: Connection) -> None:
        await super().add_connection(connection)
        if self.watch:
            self.watch.connection(connection)

    async def put_session(self, session: Session) -> None:
        """Insert or replace the whole row."""
        await self._put("sessions", _session_row(session))

    async def run(self, run_id: str) -> Run | None:
        rows = await self._all("SELECT * FROM runs WHERE id = ?", run_id)
        return _run(rows[0]) if rows else None

    async def session(self, session_id: str) -> Session | None:
        rows = await self._all(f"{_SESSIONS} WHERE id = ?", session_id)
        return _session(rows[0]) if rows else None

    async def runs(
        self, limit: int, session_id: str | None = None, *, principal: str | None = None
    ) -> list[Run]:
        """Return the newest runs first; of one principal, or of all."""
        rows = await self._all(
            "SELECT * FROM runs WHERE (?1 IS NULL OR session_id = ?1) AND (?2 IS NULL OR principal = ?2)"
            " ORDER BY created_at DESC, id LIMIT ?3",
            session_id,
            principal,
            limit,
        )
        return [_run(row) for row in rows]

    async def unfinished_runs(self) -> list[Run]:
        """Return those that were begun, and have no end."""
        rows = await self._all("SELECT * FROM runs WHERE ended_at IS NULL AND status <> 'queued'")
        return [_run(row) for row in rows]

    async def unsynced_runs(self) -> list[Run]:
        """Return those that ended while the store was away."""
        return [_run(row) for row in await self._all("SELECT * FROM runs WHERE unsynced <> '{}'")]

    async def sessions(
        self,
        limit: int,
        status: SessionStatus | None = None,
        before: tuple[float, str] | None = None,
        *,
        principal: str | None = None,
    ) -> list[Session]:
        """Return those that last did something first, of one principal or of all.

        `before` is the (updated_at, id) of the last one already seen.
        """
        at, after_id = before or (None, "")
        rows = await self._all(
            f"SELECT * FROM ({_SESSIONS}) WHERE (?1 IS NULL OR status = ?1)"  # noqa: S608
            " AND (?2 IS NULL OR updated_at < ?2 OR (updated_at = ?2 AND id > ?3))"
            " AND (?4 IS NULL OR principal = ?4)"
            " ORDER BY updated_at DESC, id LIMIT ?5",
            status,
            at,
            after_id,
            principal,
            limit,
        )
        return [_session(row) for row in rows]

    async def newest_agent_session(self, volume: str, agent: str, principal: str) -> Session | None:
        """Return the session of this principal's that last worked with this agent in this volume."""
        rows = await self._all(
            f"{_SESSIONS} WHERE volume = ? AND agent = ? AND principal = ? AND kind = 'agent'"
            " ORDER BY updated_at DESC LIMIT 1",
            volume,
            agent,
            principal,
        )
        return _session(rows[0]) if rows else None

    async def totals(self, session_id: str) -> SessionTotals:
        rows = await self._all(
            # what never had a process, refused or ended before, is no turn
            "SELECT count(DISTINCT coalesce(json_extract(turn, '$.first'), id))"
            " FILTER (WHERE duration_s IS NOT NULL OR status NOT IN ('queued', 'failed', 'cancelled')),"
            " coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
            " coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), sum(cost_usd),"
            " (SELECT id FROM runs WHERE session_id = ?1 ORDER BY created_at DESC LIMIT 1)"
            " FROM runs WHERE session_id = ?1",
            session_id,
        )
        turns, given, made, read, written, cost, newest = rows[0]
        return SessionTotals(turns, newest, Tokens(given, made, read, written, cost))

    async def forget_session(self, session_id: str) -> None:
        await self._execute("DELETE FROM sessions WHERE id = ?", session_id)

    async def ids(self, table: Table, prefix: str, principal: str | None = None) -> list[str]:
        """Return up to three ids, of one principal or of all, that begin with `prefix`, or are named so."""
        named = " OR name = ?1" if table == "sessions" else ""
        rows = await self._all(
            f"SELECT id FROM {table} WHERE (substr(id, 1, length(?1)) = ?1{named})"  # noqa: S608
            " AND (?2 IS NULL OR principal = ?2) LIMIT 3",
            prefix,
            principal,
        )
        return [row[0] for row in rows]

    async def add_token(self, token: AccessToken) -> None:
        await self._execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", *asdict(token).values())

    async def token(self, token_id: str) -> AccessToken | None:
        rows = await self._all("SELECT * FROM tokens WHERE id = ?", token_id)
        return AccessToken(*rows[0]) if rows else None

    async def tokens(self) -> list[AccessToken]:
        """Return the newest first."""
        rows = await self._all("SELECT * FROM tokens ORDER BY created_at DESC, id")
        return [AccessToken(*row) for row in rows]

    async def revoke_token(self, token_id: str, at: float) -> None:
        await self._execute(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", at, token_id
        )

    async def put_share(self, volume: str, principal: str, level: str, at: float) -> None:
        await self._execute(
            "INSERT INTO shares VALUES (?, ?, ?, ?) ON CONFLICT (volume, principal)"
            " DO UPDATE SET level = excluded.level, created_at = excluded.created_at",
            volume,
            principal,
            level,
            at,
        )

    async def shares_with(self, principal: str) -> dict[str, str]:
        """Return what was shared with a principal: volume -> level."""
        rows = await self._all("SELECT volume, level FROM shares WHERE principal = ?", principal)
        return {row[0]: row[1] for row in rows}

    async def shares_of(self, volume: str) -> dict[str, str]:
        """Return with whom a volume is shared: principal -> level."""
        rows = await self._all("SELECT principal, level FROM shares WHERE volume = ?", volume)
        return {row[0]: row[1] for row in rows}

    async def forget_share(self, volume: str, principal: str) -> None:
        await self._execute("DELETE FROM shares WHERE volume = ? AND principal = ?", volume, principal)

    async def _put(self, table: Table, row: Mapping[str, object]) -> None:
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        update = ", ".join(f"{name} = excluded.{name}" for name in row if name != "id")
        await self._execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {update}",  # noqa: S608
            *row.values(),
        )


@asynccontextmanager
async def open_state(path: Path) -> AsyncGenerator[State]:
    """Open or create the database at `path`, private to its owner, at the newest schema."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    # isolation_level None: every statement commits itself, so none waits on a forgotten transaction
    async with aiosqlite.connect(path, isolation_level=None) as db:
        db.row_factory = sqlite3.Row
        try:
            await db.execute("PRAGMA journal_mode = WAL")
            await db.execute("PRAGMA synchronous = NORMAL")
            await db.execute("PRAGMA foreign_keys = ON")
            await migrate(db)
        except sqlite3.Error as error:
            raise failed(error) from error
        yield State(db)


def _run_row(run: Run) -> dict[str, object]:
    row: dict[str, object] = {f.name: getattr(run, f.name) for f in fields(run) if f.name != "tokens"}
    row |= {
        name: json.dumps(row[name])
        for name in (
            "policy",
            "volumes",
            "snapshots",
            "changed",
            "unsynced",
            "workspace",
            "budgets",
            "result",
            "turn",
        )
    }
    tokens = asdict(run.tokens) if run.tokens else {}
    return row | {column: tokens.get(name) for name, column in _TOKENS.items()}


def _run(row: sqlite3.Row) -> Run:
    values: dict[str, Any] = dict(row)
    counted = {name: values.pop(column) for name, column in _TOKENS.items()}
    known = counted["input"] is not None
    for name in ("policy", "snapshots", "changed", "unsynced", "workspace", "result", "turn"):
        values[name] = json.loads(values[name])
    for name in ("volumes", "budgets"):
        values[name] = tuple(json.loads(values[name]))
    values["changed"] = {name: tuple(lines) for name, lines in values["changed"].items()}
    return Run(**values, tokens=Tokens(**counted) if known else None)


def _session_row(session: Session) -> dict[str, object]:
    row: dict[str, object] = {f.name: getattr(session, f.name) for f in fields(session)}
    status = "idle" if session.status == "queued" else session.status
    return row | {"status": status} | {name: json.dumps(row[name]) for name in _SESSION_JSON}


def _session(row: sqlite3.Row) -> Session:
    values: dict[str, Any] = dict(row)
    return Session(**values | {name: json.loads(values[name]) for name in _SESSION_JSON})
