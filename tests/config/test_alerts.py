"""The table of an alert, and what is worth one."""

import pytest

from hutch.alerts import Notice, Notices
from hutch.config import parse
from hutch.errors import HutchError
from hutch.state import Connection, Run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "either command or webhook"),
        ('command = ["a"]\nwebhook = "https://a.example.org"', "either command or webhook"),
        ('on = ["else"]\ncommand = ["a"]', "must be one of failed, budget, denied"),
        ('webhook = "file:///etc/passwd"', "an http or https URL"),
    ],
)
def test_an_alert_is_told_in_one_way(text: str, told: str) -> None:
    with pytest.raises(HutchError, match=told):
        parse(f"[alerts.a]\n{text}", {"HOME": "/h"})


def run_with(status: str = "running", **values: object) -> Run:
    known = {"id": "r-1", "command": "x", "method": "m", "created_at": 1.0, "status": status}
    return Run(**{**known, **values})  # type: ignore[arg-type]


def budget(per: str = "run", **values: object) -> dict[str, object]:
    return {"name": "asked", "per": per, "spent": "8 of 10", "is_near": True, "is_spent": False, **values}


def test_a_budget_is_told_of_when_it_is_nearly_spent_and_when_it_is() -> None:
    notices = Notices()
    levels = [
        [notice.level for notice in notices.of_run(run_with(budgets=(each,)))]
        for each in (budget(is_near=False), budget(), budget(), budget(is_spent=True), budget(is_spent=True))
    ]
    assert levels == [[], ["soft"], [], ["hard"], []]


def test_a_budget_that_runs_share_is_told_of_once() -> None:
    notices = Notices()
    for per, count in (("day", 1), ("principal", 1), ("run", 3)):
        found = [list(notices.of_run(run_with(id=f"r-{n}", budgets=(budget(per),)))) for n in range(3)]
        assert sum(map(len, found)) == count


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        ("exited", 0, False),
        ("exited", 2, True),
        ("failed", None, True),
        ("timed_out", None, True),
        ("cancelled", None, False),
        ("budget", 1, False),
        ("running", None, False),
    ],
)
def test_what_ended_otherwise_than_well_is_told_of_once(status: str, code: int | None, told: bool) -> None:
    notices, run = Notices(), run_with(status, exit_code=code)
    assert [len(list(notices.of_run(run))) for _ in range(2)] == [int(told), 0]


def test_what_a_run_was_refused_is_told_of_in_one_line_and_within_bounds() -> None:
    notices = Notices()

    def refused(host: str, why: str | None = "rule") -> list[Notice]:
        return list(
            notices.of_connection(
                Connection("r-1", 1.0, host, None, 443, 0, 0, 0.0, why, told="x\n\x1b" * 900)
            )
        )

    assert refused("ok", None) == refused("ok", "unreachable") == []
    (told,) = refused("a")
    assert told.text.isprintable()
    assert len(told.text) <= 600
    assert refused("a") == []
    assert sum(len(refused(f"h{n}")) for n in range(100)) == 9
