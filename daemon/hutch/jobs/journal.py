"""The journal of a run that has no database: everything becomes an event, and sums are kept by heart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hutch.jobs.events import Connected, Event, Recorded, SessionTold, Used
from hutch.state import Connection, Run, Session, UsageRow

Tell = Callable[[Event], None]  # takes an event at once; it numbers and writes it


@dataclass(slots=True)
class JobJournal:
    """A `Journal` of one run. What other runs did is not known here."""

    tell: Tell
    _used: dict[tuple[str, str, str], UsageRow] = field(default_factory=dict)  # day, host, model
    _bytes: int = 0
    _told: Run | None = None
    session: Session | None = None  # as it was put last

    async def put_run(self, run: Run) -> None:
        self.tell_run(run)

    def tell_run(self, run: Run, but_for: Sequence[str] = ()) -> None:
        """Tell the record, unless it is as it was told, `but_for` some fields that change all the time."""
        as_told = {name: getattr(self._told, name) for name in but_for if self._told}
        if self._told is None or replace(run, **as_told) != self._told:
            self._told = run
            self.tell(Recorded(run=run))

    async def put_session(self, session: Session) -> None:
        self.session = session
        self.tell(SessionTold(session=session))

    async def add_connection(self, connection: Connection) -> None:
        self._bytes += connection.sent + connection.received
        self.tell(Connected(connection=connection))

    async def add_usage(self, row: UsageRow) -> None:
        key = (row.day, row.host, row.model)
        if had := self._used.get(key):
            row = row.plus(had)
        self._used[key] = row
        self.tell(Used(usage=row))

    async def usage(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
        group_id: str | None = None,
    ) -> list[UsageRow]:
        """As `Journal.usage`: of this run, which is all that anybody may ask of it."""
        return [row for row in self._used.values() if day in (None, row.day)]

    async def bytes_passed(
        self,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        principal: str | None = None,
        day: str | None = None,
    ) -> int:
        return self._bytes

    async def seconds_run(
        self, *, session_id: str | None = None, principal: str | None = None, day: str | None = None
    ) -> float:
        return 0.0
