"""The ledger of what models used: one row a run, day, host and model, to which every answer adds."""

import time
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hutch.state.database import Database

_PICO = Decimal(10) ** 12
_MOST = 10**17  # of one answer: a sum of them has to fit into 64 bits


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What answers of one model at one host used in one run on one day; the columns of `usage`, in order."""

    run_id: str
    day: str
    host: str
    model: str
    session_id: str | None
    principal: str
    requests: int = 0
    incomplete: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_searches: int = 0
    cost_pico_usd: int = 0
    charged_tokens: int = 0
    charged_pico_usd: int = 0

    @property
    def cost_usd(self) -> Decimal:
        return self.cost_pico_usd / _PICO

    @property
    def charged_usd(self) -> Decimal:
        return self.charged_pico_usd / _PICO

    def plus(self, other: "UsageRow") -> "UsageRow":
        """Return this row with the sums of both."""
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in _SUMS})

    def since(self, earlier: "UsageRow") -> "UsageRow":
        """Return this row with what its sums have grown by."""
        return replace(self, **{name: getattr(self, name) - getattr(earlier, name) for name in _SUMS})


_COLUMNS = [f.name for f in fields(UsageRow)]
_SUMS = _COLUMNS[_COLUMNS.index("requests") :]
_INSERT = (
    f"INSERT INTO usage VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - the names are ours
    " ON CONFLICT (run_id, day, host, model) DO UPDATE SET "
)
_ADD = _INSERT + ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
_PUT = _INSERT + ", ".join(f"{name} = excluded.{name}" for name in _SUMS)
BEGUN_BY = "json_extract(policy, '$.requested.begun_by')"  # of a run: the one whose agent has begun it
# A run, and all that its agent has begun
_RUNS = f"(SELECT ?{{0}} UNION ALL SELECT id FROM runs WHERE {BEGUN_BY} = ?{{0}})"  # noqa: S608 - it is ours
_WANTED = {
    "run_id": f"run_id IN {_RUNS}",
    "session_id": "session_id = ?{0}",
    "principal": "principal = ?{0}",
    "day": "day = ?{0}",
    "group_id": "session_id IN (SELECT session_id FROM attempts WHERE group_id = ?{0})",
}


class UsageRows(Database):
    """The part of the state that counts what models used."""

    async def add_usage(self, row: UsageRow) -> None:
        """Add to what its run used of its model so far."""
        await self._execute(_ADD, *astuple(row))

    async def put_usage(self, row: UsageRow) -> None:
        """Store what its run used of its model so far, in place of what was stored."""
        await self._execute(_PUT, *astuple(row))

    async def usage(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
        group_id: str | None = None,
    ) -> list[UsageRow]:
        """Return the rows that fit all that is given, which must be something.

        Those of a run are its own, and those of all that its agent has begun.
        """
        asked = {
            "run_id": run_id,
            "session_id": session_id,
            "principal": principal,
            "day": day,
            "group_id": group_id,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        assert given
        wanted = " AND ".join(_WANTED[name].format(n) for n, name in enumerate(given, 1))
        rows = await self._all(f"SELECT * FROM usage WHERE {wanted}", *given.values())  # noqa: S608
        return [UsageRow(*row) for row in rows]

    async def begun_by(self, run_id: str) -> dict[str, int]:
        """Return the runs that a run's agent has begun, in their order, and the bytes of output of each."""
        rows = await self._all(
            f"SELECT id, stdout_bytes + stderr_bytes FROM runs WHERE {BEGUN_BY} = ? ORDER BY created_at, id",  # noqa: S608
            run_id,
        )
        return dict(map(tuple, rows))

    async def bytes_passed(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
        is_alone: bool = False,
    ) -> int:
        """Return the bytes of connections that have ended, both ways together, of those that fit.

        What an agent's run has begun counts as its own, unless that is asked about alone.
        """
        rows = await self._all(
            "SELECT coalesce(sum(c.bytes), 0) FROM"
            " (SELECT run_id, at, sent + received AS bytes FROM connections"
            " UNION ALL SELECT run_id, 0, bytes FROM passed) c"  # older than any day that is asked for
            " LEFT JOIN runs r ON r.id = c.run_id LEFT JOIN sessions s ON s.id = c.run_id"
            " LEFT JOIN runs p ON p.id = json_extract(r.policy, '$.requested.begun_by')"
            " WHERE (?1 IS NULL OR c.run_id = ?1 OR (p.id = ?1 AND NOT ?5))"
            " AND (?2 IS NULL OR coalesce(r.session_id, p.session_id, s.id) = ?2)"
            " AND (?3 IS NULL OR coalesce(r.principal, s.principal) = ?3)"
            " AND (?4 IS NULL OR c.at >= ?4)",
            run_id,
            session_id,
            principal,
            day and _begin(day),
            is_alone,
        )
        return int(rows[0][0])

    async def seconds_run(
        self, *, session_id: str | None = None, principal: str | None = None, day: str | None = None
    ) -> float:
        """Return how long processes of runs worked, those that do so now until now, of those that fit."""
        rows = await self._all(
            "SELECT coalesce(sum(coalesce(duration_s, iif(ended_at IS NULL, ?4 - created_at, 0))), 0)"
            " FROM runs WHERE (?1 IS NULL OR session_id = ?1) AND (?2 IS NULL OR principal = ?2)"
            " AND (?3 IS NULL OR created_at >= ?3)",
            session_id,
            principal,
            day and _begin(day),
            time.time(),
        )
        return float(rows[0][0])


def _begin(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def pico_usd(amount: Decimal) -> int:
    """Return dollars as the ledger holds them."""
    return min(int((amount * _PICO).to_integral_value()), _MOST)


def yesterday() -> str:
    """Return the day before."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


def today() -> str:
    """Return the day that it is, in UTC, as the ledger names days."""
    return datetime.now(UTC).date().isoformat()
