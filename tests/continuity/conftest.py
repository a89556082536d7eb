"""The record of what the matrix has shown: a line of JSON a test, for scripts/continuity.py."""

import json
import os
from pathlib import Path

import pytest

RESULTS = "HUTCH_CONTINUITY_RESULTS"  # names the file, to which all processes of the tests add


def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """A failure in any phase counts, a pass only in the call itself."""
    way, path = item.get_closest_marker("cut"), os.environ.get(RESULTS)
    if way is None or path is None or (call.excinfo is None and call.when != "call"):
        return
    outcome = "goes on"
    if call.excinfo is not None:
        outcome = "skipped" if call.excinfo.errisinstance(pytest.skip.Exception) else "broken"
    params = item.callspec.params  # type: ignore[attr-defined]
    shown = {"cut": way.args[0], "agent": params["agent"], "store": params["world"], "outcome": outcome}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(shown) + "\n")
