"""The log of what went out of sandboxes, and of what was refused there."""

from dataclasses import astuple, fields

from hutch.state.database import Database
from hutch.state.records import Connection, Run, Session, Traffic

# A kept sandbox is one for all of its runs: to each belongs what passed while it was at work
_OF_RUN = "(run_id = ?1 OR (run_id = ?2 AND at >= ?3 AND (?4 IS NULL OR at <= ?4)))"
_OF_SESSION = "(run_id = ?1 OR run_id IN (SELECT id FROM runs WHERE session_id = ?1))"
_ADD = f"INSERT INTO connections VALUES ({', '.join('?' * len(fields(Connection)))})"  # noqa: S608


class ConnectionRows(Database):
    """The part of the state that logs connections."""

    async def add_connection(self, connection: Connection) -> None:
        await self._execute(_ADD, *astuple(connection))

    async def last_event(self, run_id: str) -> int:
        """Return the event of its job that told of a run's last stored connection; 0: none has."""
        rows = await self._all("SELECT coalesce(max(event), 0) FROM connections WHERE run_id = ?", run_id)
        return int(rows[0][0])

    async def connections(self, of: Run | Session, limit: int) -> list[Connection]:
        """Return the newest, in the order in which they began."""
        where, values = _where(of)
        rows = await self._all(
            f"SELECT * FROM connections WHERE {where} ORDER BY at DESC, rowid DESC LIMIT {limit:d}",  # noqa: S608
            *values,
        )
        return [Connection(*row) for row in reversed(rows)]

    async def traffic(self, of: Run | Session, limit: int) -> list[Traffic]:
        """Return what was connected to, summed; and as many that were refused. The last in use first."""
        where, values = _where(of)
        rows = await self._all(
            "SELECT host, port, rule, is_refused, told, count, sent, received, duration_s FROM ("  # noqa: S608
            "SELECT host, port, rule, refused IS NOT NULL AS is_refused, max(told) AS told,"
            " sum(count) AS count, sum(sent) AS sent, sum(received) AS received,"
            " sum(duration_s) AS duration_s, max(at) AS last, row_number() OVER"
            " (PARTITION BY refused IS NOT NULL ORDER BY max(at) DESC) AS place"
            f" FROM connections WHERE {where} GROUP BY host, port, rule, is_refused)"
            f" WHERE place <= {limit:d} ORDER BY is_refused, last DESC",
            *values,
        )
        return [Traffic(**dict(row) | {"is_refused": bool(row["is_refused"])}) for row in rows]

    async def refused(self, run: Run) -> dict[str, str]:
        """Return what was refused to a run, "host:port" -> why."""
        where, values = _where(run)
        rows = await self._all(
            f"SELECT host, port, coalesce(nullif(told, ''), refused) FROM connections WHERE {where}"  # noqa: S608
            " AND refused IS NOT NULL ORDER BY at",
            *values,
        )
        return {f"{host}:{port}" if port else host: refused for host, port, refused in rows}


def _where(of: Run | Session) -> tuple[str, tuple[object, ...]]:
    if isinstance(of, Session):
        return _OF_SESSION, (of.id,)
    return _OF_RUN, (of.id, of.session_id, of.created_at, of.ended_at)
