"""scripts/run_tests.py: what is tried again, and what never is."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[1] / "scripts/run_tests.py"
_FAILS_ONCE = """
from pathlib import Path

def test_it():
    been = Path(__file__).with_suffix(".been")
    assert been.exists() or been.touch()
"""
_OF_AN_ADDRESS = """
import pytest

@pytest.mark.parametrize("address", ["a@b"])
def test_of(address):
    been = Path(__file__).with_suffix(".too")
    assert been.exists() or been.touch()
"""
_GROUPED = """
from _pytest.nodeid import NodeId

def pytest_collection_modifyitems(items):
    for item in items:
        item._id = NodeId.parse(f"{item.nodeid}@a/group of it")
"""


@pytest.mark.parametrize(
    ("files", "status", "said"),
    [
        (
            {"conftest.py": _GROUPED, "tests/cli/test_a.py": _FAILS_ONCE + _OF_AN_ADDRESS},
            0,
            "at their second try only: tests/cli/test_a.py::test_it tests/cli/test_a.py::test_of[a@b]",
        ),
        (
            {"tests/cli/test_a.py": _FAILS_ONCE},
            0,
            "passed at their second try only: tests/cli/test_a.py::test_it",
        ),
        ({"tests/cli/test_a.py": "def test_it(): assert False"}, 1, "1 failed among all others"),
        ({"tests/volumes/test_a.py": _FAILS_ONCE, "tests/cli/test_a.py": _FAILS_ONCE}, 1, ""),
        ({f"tests/cli/test_{n}.py": _FAILS_ONCE for n in range(5)}, 1, ""),
        ({"tests/cli/test_a.py": "not python"}, 2, ""),
        ({"tests/cli/test_a.py": "def test_it(): pass"}, 0, ""),
    ],
)
def test_what_fails_once_among_others(tmp_path: Path, files: dict[str, str], status: int, said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, _SCRIPT, "-q", "--import-mode=importlib", "-n", "0"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ended.returncode == status, ended.stdout
    assert said in ended.stdout
    assert said or "tests: " not in ended.stdout
