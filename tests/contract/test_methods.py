"""Every method that runs here against the whole contract, by root and by an ordinary user."""

import json
import os
import subprocess
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hutch.exit_codes import NO_SANDBOX
from hutch_launchers.contract.suite import CASES
from support.container_engines import start_engine
from support.contract_column import ORDINARY_USER, ROOT_USER, home_of, who
from support.contract_methods import METHODS, OPEN, Method
from support.daemon import BASE
from support.launcher_accounts import accounts
from support.needs import need
from support.rootless import as_rootless

pytestmark = [
    pytest.mark.slow,
    pytest.mark.apart("method", "user"),
    pytest.mark.timeout(700),
]  # the first test of a method runs all of its cases


def _test(method: Method, user_name: str) -> tuple[int, str, str]:
    """What `hutch method test` ended with and told, for a user with a configuration of its own."""
    user = who(user_name)
    words: tuple[str, ...] = ("-m", "hutch", "method", "test", method.name, "--json")
    with home_of(user) as folder:
        needs_account = method.name in ("podman", "firejail") and bool(user.prefix)
        if needs_account:  # firejail makes no sandbox where it sees no threads of the kernel
            words = (*as_rootless(folder, *words, has_own_pids=method.name != "firejail"),)
        else:
            words = (*user.python, *words)
        home = folder / "home" if needs_account else folder
        toml = method.ordinary_toml if user_name == ORDINARY_USER and method.ordinary_toml else method.toml
        table = f"[methods.{method.name}]\n{toml.replace('{home}', str(home))}"
        (folder / "config.toml").write_text(f"{BASE.format(folder=home)}\n{table}\n")
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HUTCH_CONFIG": str(folder / "config.toml")}
        done = subprocess.run(
            words,
            env={**env, **user.env},
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
    return done.returncode, done.stdout, done.stderr


@cache
def _tested(method: Method, user_name: str) -> tuple[int, str, str]:
    start_engine(method.name)
    if method.name != "account" or user_name != ROOT_USER:
        return _test(method, user_name)
    who(user_name)
    with tempfile.TemporaryDirectory(prefix="hutch-accounts-") as folder, accounts(Path(folder), 12) as made:
        own = f'{method.toml}\nprefix = "{made.launcher.prefix}"\njournals = "{made.launcher.journals}"'
        return _test(replace(method, toml=own), user_name)


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


_BY_NAME = {method.name: method for method in METHODS}


@pytest.mark.parametrize(
    ("method", "user"), [(_BY_NAME["podman"], ORDINARY_USER)], indirect=True, ids=["podman"]
)
def test_podman_without_root_holds_what_needs_no_control_group(method: Method, user: str) -> None:
    who(user)
    code, out, err = _tested(method, user)
    need("podman" if os.geteuid() == 0 else "", code != NO_SANDBOX, "podman", "scripts/install-methods")
    assert code == 0, err
    held = {name for name, shown in json.loads(out)["guarantees"].items() if shown["held"]}
    assert held >= {"filesystem", "network", "processes", "syscalls", "disk"}


@pytest.mark.parametrize("method", [_BY_NAME["bare"]], indirect=True, ids=["bare"])
def test_a_method_that_isolates_nothing_is_refused_and_starts_nothing(method: Method, user: str) -> None:
    code, out, err = _tested(method, user)
    assert code == 0, err
    by_case = {one["case"]: one["outcome"] for one in json.loads(out)["cases"]}
    assert {key for key, outcome in by_case.items() if outcome == "held"} <= {
        "secrets/command-lines",
        "limits/output",
    }
