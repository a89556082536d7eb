"""Every method that runs here against the whole contract, by root and by an ordinary user."""

import json
import os
import subprocess
from functools import cache
from typing import Any

import pytest

from hutch.cli.refusal import NO_SANDBOX
from hutch_launchers.contract.suite import CASES
from support.container_engines import start_engine
from support.contract_column import ORDINARY_USER, ROOT_USER, home_of, who
from support.contract_methods import METHODS, OPEN, Method
from support.daemon import BASE
from support.needs import need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # the first test of a method runs all of its cases


def _test(method: Method, user_name: str) -> tuple[int, str, str]:
    """What `hutch method test` ended with and told, for a user with a configuration of its own."""
    user = who(user_name)
    with home_of(user) as folder:
        config = f"{BASE.format(folder=folder)}\n[methods.{method.name}]\n{method.toml}\n"
        (folder / "config.toml").write_text(config)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HUTCH_CONFIG": str(folder / "config.toml")}
        done = subprocess.run(
            [*user.python, "-m", "hutch", "method", "test", method.name, "--json"],
            env={**env, **user.env},
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
    return done.returncode, done.stdout, done.stderr


@cache
def _tested(method: Method, user_name: str) -> tuple[int, str, str]:
    start_engine(method.name)
    return _test(method, user_name)


@pytest.fixture(scope="session", params=[ROOT_USER, ORDINARY_USER])
def user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", params=METHODS, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Method:
    made: Method = request.param
    return made


@pytest.fixture(scope="session")
def document(method: Method, user: str, shown: dict[str, Any]) -> dict[str, Any]:
    """All that was found out of a method, once for all tests of it."""
    code, out, err = _tested(method, user)
    if code == NO_SANDBOX:
        name = method.name if user in method.must_run else ""
        need(name, False, f"the method {method.name}: {err.strip()}", "scripts/install-methods")
    assert code in (0, 1), err
    found: dict[str, Any] = json.loads(out)
    shown["methods"][f"{method.name} ({user})"] = found
    return found


@pytest.mark.parametrize("key", [case.key for case in CASES])
def test_the_case_is_held_or_refused(document: dict[str, Any], method: Method, user: str, key: str) -> None:
    (case,) = [one for one in document["cases"] if one["case"] == key]
    is_open = (key, method.name, user) in OPEN
    if is_open and case["outcome"] == "not held":
        pytest.xfail(OPEN[key, method.name, user])
    assert not is_open, "it holds by now: it is to be struck out of OPEN"
    assert case["outcome"] in ("held", "refused", "not applicable"), case["reason"]
    assert case["reason"]


def test_no_case_is_left_out(document: dict[str, Any]) -> None:
    assert [one["case"] for one in document["cases"]] == [case.key for case in CASES]


def test_a_method_that_isolates_nothing_is_refused_and_starts_nothing() -> None:
    bare = next(one for one in METHODS if one.name == "bare")
    code, out, err = _tested(bare, ROOT_USER if os.geteuid() == 0 else ORDINARY_USER)
    assert code == 0, err
    by_case = {one["case"]: one["outcome"] for one in json.loads(out)["cases"]}
    assert {key for key, outcome in by_case.items() if outcome == "held"} <= {"secrets/command-lines"}
