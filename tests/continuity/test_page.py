"""docs/continuity.md names every agent and every way to be cut off, and nothing that does not go on."""

import ast
from pathlib import Path

from support.continuity import AGENTS, CUTS

ROOT = Path(__file__).parents[2]


def test_the_page_is_of_these_agents_and_these_ways() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/continuity.md").read_text().splitlines()
        if line.startswith("|")
    ]
    assert rows[0][1:] == [agent.title for agent in AGENTS]
    assert tuple(row[0] for row in rows[2:]) == CUTS
    assert {cell for row in rows[2:] for cell in row[1:]} == {"goes on"}


def test_every_way_has_a_test_and_every_test_a_way() -> None:
    tests = ast.parse((Path(__file__).parent / "test_matrix.py").read_text())
    marked = [
        ast.literal_eval(mark.args[0])
        for test in tests.body
        if isinstance(test, ast.AsyncFunctionDef)
        for mark in test.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.cut"
    ]
    assert tuple(marked) == CUTS
