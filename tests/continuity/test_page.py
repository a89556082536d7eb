"""docs/continuity.md names every agent and every way to be cut off, and nothing that does not go on."""

import ast
from pathlib import Path

from support.continuity import AGENTS, CUTS, METHODS, NOT_SO

ROOT = Path(__file__).parents[2]


def test_the_page_is_of_these_agents_and_these_ways() -> None:
    by_agent, by_method = _tables((ROOT / "docs/continuity.md").read_text())
    assert by_agent[0][1:] == [agent.title for agent in AGENTS]
    assert {cell for row in by_agent[2:] for cell in row[1:]} == {"goes on"}
    assert tuple(by_method[0][1:]) == METHODS
    for row in by_method[2:]:
        for method, cell in zip(METHODS, row[1:], strict=True):
            assert cell == ("-" if (method, row[0]) in NOT_SO else "goes on"), (method, row)
    assert tuple(row[0] for row in by_agent[2:]) == tuple(row[0] for row in by_method[2:]) == CUTS


def _tables(page: str) -> list[list[list[str]]]:
    parts = [[line for line in part.splitlines() if line.startswith("|")] for part in page.split("\n## ")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in lines] for lines in parts]


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
