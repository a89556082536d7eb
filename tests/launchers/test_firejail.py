"""The method firejail: what it may claim, and a host that mounts and unmounts at any time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hutch_launchers.launcher import Evidence
from hutch_launchers.methods.firejail import FirejailLauncher
from hutch_launchers.spec import Guarantee
from support.needs import need

_BUSY_HOST = """
mount --make-rshared /
(for i in $(seq 20000); do mount -t tmpfs none "$1"; sleep 0.01; umount "$1"; done) 2>/dev/null & busy=$!
trap 'kill $busy; wait; umount "$1" 2>/dev/null; true' EXIT
shift; "$@"
"""
_STARTS = """
import anyio, sys
from hutch_launchers.methods.firejail import FirejailLauncher
from support.launcher_methods import code, run, sh, spec

async def start() -> None:
    for _ in range(3):
        assert (await run(FirejailLauncher(), spec(sh(":")))).status == code(0)

anyio.run(start)
"""


def test_nothing_is_claimed_where_it_made_no_sandbox() -> None:
    held = dict.fromkeys(Guarantee, Evidence(held=True, mechanism="seen", detail=""))
    assert all(one.held for one in FirejailLauncher().judge(held).values())
    bare = {
        **held,
        Guarantee.PROCESSES: Evidence(held=False, mechanism="", detail="saw the host's process 1"),
    }
    assert not any(one.held for one in FirejailLauncher().judge(bare).values())


@pytest.mark.timeout(240)
def test_it_starts_on_a_host_that_mounts_and_unmounts_meanwhile(tmp_path: Path) -> None:
    need("root", os.geteuid() == 0, "root", "run the tests as root")
    need("firejail", shutil.which("firejail") is not None, "firejail", "apt install firejail")
    apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BUSY_HOST, "sh", str(tmp_path)]
    tests = Path(__file__).parents[1]
    ended = subprocess.run(
        [*apart, sys.executable, "-c", _STARTS],
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
