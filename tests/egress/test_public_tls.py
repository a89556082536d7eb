"""TLS to a public name, by a real client and a real server, in a network of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.egress_island import NO_NAMESPACES


def test_only_tls_to_the_granted_name_gets_through() -> None:
    tests = Path(__file__).parents[1]
    island = subprocess.run(
        [sys.executable, "-m", "support.egress_island"],
        cwd=tests,
        capture_output=True,
        text=True,
        check=False,
    )
    if island.returncode == NO_NAMESPACES:
        pytest.skip("this host lets nobody make a network namespace")
    assert island.stderr == ""
    assert json.loads(island.stdout) == {
        "seen": {
            "granted name": "HELLO",
            "upper case": "HELLO",
            "another name": "closed",
            "no name": "closed",
            "no TLS": "closed",
            "garbage": "closed",
            "silence": "closed",
            "a byte at a time": "closed",
            "name of a private address": "closed",
        },
        "arrived": 2,
        "refused": ["address", "passed", "passed", *["server_name"] * 6],
    }
