"""Podman without root: the contract's cases by a user with subordinate ids."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from support.needs import need
from support.rootless import as_rootless

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

GROUPS = ("files", "kernel", "limits")
_SUITE = f"""
import asyncio, json, os
from hutch_launchers.contract.suite import hold_against
from hutch_launchers.methods.podman import PodmanLauncher

async def main():
    home = os.environ["HOME"]
    own = ("--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc")
    places = ("--root", f"{{home}}/store", "--runroot", f"{{home}}/run", "--storage-driver", "vfs")
    launcher = PodmanLauncher(command=("podman", *places, *own))
    told = []
    async for results in hold_against(launcher, {GROUPS!r}):
        told += [[one.case.key, one.outcome, one.reason] for one in results]
    print(json.dumps([sorted((await launcher.probe()).guarantees), told]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def found() -> Generator[tuple[list[str], dict[str, tuple[str, str]]]]:
    """What is guaranteed, and for each case its outcome and reason."""
    there = os.geteuid() == 0 and all(map(shutil.which, ("podman", "runc", "newuidmap", "unshare")))
    need("podman", bool(there), "podman, runc and newuidmap, and root to try them", "scripts/install-methods")
    folder = Path(tempfile.mkdtemp(prefix="hutch-rootless-", dir="/tmp"))
    try:
        sources = f"{Path(__file__).parents[2]}/launchers"
        done = subprocess.run(
            as_rootless(folder, "-c", _SUITE),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": sources},
            check=False,
            capture_output=True,
            text=True,
            timeout=150,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr[-2000:]
        held, cases = json.loads(done.stdout)
        yield held, {key: (outcome, reason) for key, outcome, reason in cases}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_holds_what_needs_no_control_group(found: tuple[list[str], dict[str, tuple[str, str]]]) -> None:
    held, _ = found
    assert set(held) >= {"filesystem", "network", "processes", "syscalls", "disk"}


def test_every_case_is_held_or_refused(found: tuple[list[str], dict[str, tuple[str, str]]]) -> None:
    _, cases = found
    assert len(cases) > 30
    assert {key: seen for key, seen in cases.items() if seen[0] == "not held"} == {}
