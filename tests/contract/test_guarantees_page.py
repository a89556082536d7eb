"""The page of guarantees is that of the suite: each case a row, no cell unknown, no gap unsaid."""

import re
from pathlib import Path

from hutch_launchers.contract.suite import CASES as METHOD_CASES
from support.contract_cases import CASES
from support.contract_methods import METHODS, OPEN, USERS
from support.daemon import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
_METHOD_CELL = re.compile(r"[HR-]|\*\*N\*\*|·")  # as the legend of the page has them


def _rows(part: str, until: str) -> list[list[str]]:
    text = PAGE.partition(f"## {part}\n")[2].partition(f"\n## {until}")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if row[0] != "case"]


def test_every_case_of_a_method_is_a_row_and_every_cell_says_what_was_shown() -> None:
    rows = _rows("Attacks on the methods", "Attacks on the daemon")
    assert [row[0] for row in rows] == [case.title for case in METHOD_CASES]
    for case, (title, *cells) in zip(METHOD_CASES, rows, strict=True):
        assert len(cells) == len(METHODS), title
        for method, cell in zip(METHODS, cells, strict=True):
            by_user = cell.split()
            assert len(by_user) == len(USERS), (title, cell)
            assert all(_METHOD_CELL.fullmatch(one) for one in by_user), (title, cell)
            for user, mark in zip(USERS, by_user, strict=True):
                is_open = (case.key, method.name, user) in OPEN
                assert (mark == "**N**") == is_open, (title, method.name, user)
            absent = {user for user, mark in zip(USERS, by_user, strict=True) if mark == "·"}
            assert not absent & set(method.must_run), f"{method.name} must run to be told of"


def test_every_case_of_the_daemon_is_a_row_and_every_cell_says_what_was_shown() -> None:
    rows = _rows("Attacks on the daemon", "What does not hold yet")
    assert [row[0] for row in rows] == [case.title for case in CASES]
    for case, (title, *cells) in zip(CASES, rows, strict=True):
        assert set(cells) == {"not applicable" if case.not_applicable else case.outcome}, title


def test_what_does_not_hold_is_said_in_words() -> None:
    for reason in OPEN.values():
        assert reason[1:] in PAGE
    for case in CASES:
        assert case.not_applicable in PAGE


def test_every_case_of_the_daemon_is_shown_by_a_test() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    shown = {key for text in texts for key in re.findall(r'@shows\("([a-z]+/[a-z0-9-]+)"\)', text)}
    assert shown == {case.key for case in CASES if not case.not_applicable}
