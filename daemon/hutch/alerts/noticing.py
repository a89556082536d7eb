"""Which records are worth an alert, each once."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from hutch.state import Connection, Run
from hutch.state.usage import today
from hutch_mcp_tools.text import one_line

_TOLD = 600  # characters
_REMEMBERED = 4096  # notices
_DENIED = 10  # of one run; `hutch net log` has all
# Somebody asked for it, or an alert of its own tells of it
_WENT_WELL = frozenset({"cancelled", "budget"})
_DENIALS = frozenset({"rule", "name", "address", "server_name", "request", "unread"})


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell the owner."""

    event: str  # "failed", "budget" or "denied"
    text: str  # for a person, in one line
    run_id: str  # or the session's of a kept sandbox
    session_id: str | None = None
    principal: str = ""
    level: str = ""  # of a budget: "soft" or "hard"


class Notices:
    """Remembers what was told."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._denied: OrderedDict[str, int] = OrderedDict()

    def of_run(self, run: Run) -> Iterator[Notice]:
        """Yield what is new in a run's record."""
        for budget in run.budgets:
            level = "hard" if budget.get("is_spent") else "soft" if budget.get("is_near") else ""
            if level and self._is_news("budget", level, *_account(run, budget)):
                told = f"budget {budget['name']} (per {budget['per']}): {budget['spent']} are spent"
                yield _of(run, "budget", told, level)
        if _is_failed(run) and self._is_news("failed", run.id):
            why = run.reason or f"its exit code is {run.exit_code}"
            yield _of(run, "failed", f"run {run.id} ended as {run.status}: {why}")

    def of_connection(self, connection: Connection) -> Iterator[Notice]:
        """Yield a refusal that no alert has told of."""
        of, where = connection.run_id, f"{connection.host}:{connection.port}"
        if connection.refused not in _DENIALS or self._denied.get(of, 0) >= _DENIED:
            return
        if self._is_news("denied", of, where):
            self._denied[of] = self._denied.get(of, 0) + 1
            while len(self._denied) > _REMEMBERED:
                self._denied.popitem(last=False)
            told = f"{of} was refused {where}: {connection.told or connection.refused}"
            yield Notice("denied", one_line(told, _TOLD), of)

    def _is_news(self, *what: str) -> bool:
        if what in self._told:
            return False
        self._told[what] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return True


def _is_failed(run: Run) -> bool:
    return run.is_ended and run.status not in _WENT_WELL and (run.status != "exited" or bool(run.exit_code))


def _account(run: Run, budget: object) -> tuple[str, ...]:
    """Whose budget it is: one that runs share is told of once, by whichever comes first."""
    assert isinstance(budget, dict)
    name, per = str(budget["name"]), str(budget["per"])
    if per == "run":
        return name, run.id
    if per == "session":
        return name, run.session_id or run.id
    return name, run.principal, today() if per == "day" else ""


def _of(run: Run, event: str, told: str, level: str = "") -> Notice:
    return Notice(event, one_line(told, _TOLD), run.id, run.session_id, run.principal, level)
