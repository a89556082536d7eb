"""The page of guarantees is that of the suite: each case a row, no cell unknown, no gap unsaid."""

import re
from pathlib import Path

from support.contract_cases import CASES, GROUPS, OPEN, programs
from support.daemon import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
_CELLS = ("held", "refused", "not applicable", "not held")
_COLUMNS = ("root", "ordinary user")


def test_every_case_is_a_row_and_every_cell_says_what_was_shown() -> None:
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line in PAGE.partition("## Cases")[2].splitlines()
        if line[:2] == "| "
    ]
    cases = [row for row in rows if len(row) == 3 and row[0] != "case"]
    assert [row[0] for row in cases] == [
        case.title for group in GROUPS for case in CASES if case.group == group
    ]
    assert {cell for row in cases for cell in row[1:]} <= set(_CELLS)
    by_title = {case.title: case for case in CASES}
    for title, *cells in cases:
        case = by_title[title]
        for user, cell in zip(_COLUMNS, cells, strict=True):
            gap = "not held" if (case.key, user) in OPEN else None
            assert cell == (gap or ("not applicable" if case.not_applicable else case.outcome)), (title, user)


def test_what_does_not_hold_is_said_in_words() -> None:
    for reason in OPEN.values():
        assert reason[1:] in PAGE
    for case in CASES:
        assert case.not_applicable in PAGE


def test_every_case_is_shown_by_a_program_or_a_test() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    shown = {key for text in texts for key in re.findall(r'@shows\("([a-z]+/[a-z0-9-]+)"\)', text)}
    shown |= {case.key for cases in programs().values() for case in cases}
    assert shown == {case.key for case in CASES if not case.not_applicable}
