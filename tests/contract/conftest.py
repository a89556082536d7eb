"""Columns of the contract's table, each a daemon that all cases share, and the record of what they showed."""

import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from support.contract_column import ORDINARY_USER, ROOT_USER, Column, column

# Names a file, to which each process of the tests adds what it has shown, a line: for scripts/guarantees.py
RESULTS = "HUTCH_CONTRACT_RESULTS"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=[ROOT_USER, ORDINARY_USER])
async def sandbox(request: pytest.FixtureRequest) -> AsyncGenerator[Column]:
    """The method bubblewrap, by a daemon that root or an ordinary user runs."""
    async with column(request.param) as made:
        yield made
        made.stage.assert_untouched()


@pytest.fixture(scope="session")
def shown(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What all tests together have shown, to be added to."""
    return _shown(request.config)


def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """Note what a test showed for its case: a failure in any phase counts, a pass only in the call itself."""
    if call.excinfo is None and call.when != "call":
        return
    outcome, reason = "held", ""
    if call.excinfo is not None:
        expected = {pytest.skip.Exception: "not applicable", pytest.xfail.Exception: "not held"}
        outcome = next(
            (name for kind, name in expected.items() if call.excinfo.errisinstance(kind)), "broken"
        )
        reason = "" if outcome == "broken" else str(call.excinfo.value)
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    user = next((value for value in params if value in (ROOT_USER, ORDINARY_USER)), "")
    _shown(item.config)["cases"] += [[case, user, outcome, reason] for case in _cases_of(item)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    shown = _shown(session.config)
    if (path := os.environ.get(RESULTS)) and shown["cases"] + [*shown["methods"]]:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))  # the same for all its processes
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": run, **shown}) + "\n")


def _cases_of(item: pytest.Item) -> list[str]:
    return list(getattr(getattr(item, "function", None), "shown_cases", ()))


_KEY = pytest.StashKey[dict[str, Any]]()


def _shown(config: pytest.Config) -> dict[str, Any]:
    return config.stash.setdefault(_KEY, {"methods": {}, "cases": []})
