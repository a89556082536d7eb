"""What the path of a run writes down and looks up, whoever keeps it: the database, or a run's own events."""

from typing import Protocol

from hutch.state.records import Connection, Run, Session
from hutch.state.usage import UsageRow


class Journal(Protocol):
    """Methods raise HutchError `state_failed`."""

    async def put_run(self, run: Run) -> None: ...
    async def put_session(self, session: Session) -> None: ...
    async def add_connection(self, connection: Connection) -> None: ...
    async def add_usage(self, row: UsageRow) -> None: ...

    async def usage(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
        group_id: str | None = None,
    ) -> list[UsageRow]:
        """Return what models used, as far as it is known here, in rows that fit all that is given."""

    async def bytes_passed(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
    ) -> int:
        """Return the bytes of connections that have ended, both ways together, of those that fit."""

    async def seconds_run(
        self, *, session_id: str | None = None, principal: str | None = None, day: str | None = None
    ) -> float:
        """Return how long processes of runs worked, those that do so now until now, of those that fit."""
