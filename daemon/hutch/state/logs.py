"""What ended runs have left to read: which of it may be let go of, and that it was."""

from hutch.state.database import Database


class LogRows(Database):
    """The part of the state that knows how long logs are kept."""

    async def logs_to_let_go(self, ended_before: float, max_bytes: int, not_since: float) -> list[str]:
        """Return the runs whose logs are due: by their age, or as the newer ones fill `max_bytes`.

        By the latter none that ended since `not_since`. Never those that live, or that wait for their store.
        """
        rows = await self._all(
            "SELECT id FROM (SELECT id, ended_at, unsynced, stdout_bytes + stderr_bytes AS bytes,"
            " sum(stdout_bytes + stderr_bytes) OVER (ORDER BY created_at DESC, id) AS held"
            " FROM runs WHERE log_let_go_at IS NULL)"
            " WHERE ended_at IS NOT NULL AND unsynced = '{}'"
            " AND (ended_at < ?1 OR (held > ?2 AND bytes > 0 AND ended_at < ?3))",
            ended_before,
            max_bytes,
            not_since,
        )
        return [row[0] for row in rows]

    async def note_log_let_go(self, run_id: str, at: float) -> None:
        await self._execute("UPDATE runs SET log_let_go_at = ? WHERE id = ?", at, run_id)

    async def forget_connections(self, before: float) -> None:
        """Forget those from before, save of runs that live or ended since; their bytes stay counted."""
        await self._execute(
            "DELETE FROM connections WHERE at < ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = run_id"
            " AND (ended_at IS NULL OR ended_at >= ?1 OR unsynced <> '{}'))",
            before,
        )

    async def known_runs(self) -> set[str]:
        """Return the ids of all runs."""
        return {row[0] for row in await self._all("SELECT id FROM runs")}
