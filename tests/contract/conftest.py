"""Columns of the contract's table, each a daemon that all cases share, and the record of what they showed."""

import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from support.contract_cases import Case
from support.contract_column import ORDINARY_USER, ROOT_USER, Column, column

RESULTS = (
    "HUTCH_CONTRACT_RESULTS"  # names a file: then what was shown is written to it, for scripts/guarantees.py
)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=[ROOT_USER, ORDINARY_USER])
async def sandbox(request: pytest.FixtureRequest) -> AsyncGenerator[Column]:
    """The method bubblewrap, by a daemon that root or an ordinary user runs."""
    async with column(request.param) as made:
        _shown(request.config)["methods"][made.name] = (await made.client.doctor())["methods"][0]
        yield made
        made.stage.assert_untouched()


def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """Note what a test showed for its case: a failure in any phase counts, a pass only in the call itself."""
    case = _case_of(item)
    if case is None or (call.excinfo is None and call.when != "call"):
        return
    skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    outcome = "not applicable" if skipped else "broken" if call.excinfo else "held"
    reason = str(call.excinfo.value) if skipped and call.excinfo else ""
    column_id = item.callspec.params.get("sandbox", "") if hasattr(item, "callspec") else ""
    _shown(item.config)["cases"].append([case, column_id, outcome, reason])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if path := os.environ.get(RESULTS):
        Path(path).write_text(json.dumps(_shown(session.config)), encoding="utf-8")


def _case_of(item: pytest.Item) -> str | None:
    function = getattr(item, "function", None)
    if key := getattr(function, "shown_case", None):
        return str(key)
    case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
    return case.key if isinstance(case, Case) else None


_KEY = pytest.StashKey[dict[str, Any]]()


def _shown(config: pytest.Config) -> dict[str, Any]:
    return config.stash.setdefault(_KEY, {"methods": {}, "cases": []})
