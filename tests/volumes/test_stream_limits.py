"""A user has so many inotify instances and watches: without them a stream looks instead, and says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.needs import need

UNSHARE = ("unshare", "--user", "--map-root-user")


@pytest.mark.parametrize(
    ("limit", "least", "told"),
    [
        ("max_inotify_instances", "0", "no more can be watched"),
        ("max_inotify_watches", "5", "no more can be watched"),
    ],
)
def test_a_stream_that_may_not_watch_looks_and_says_so(
    tmp_path: Path, limit: str, least: str, told: str
) -> None:
    has_namespaces = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    need("userns", has_namespaces, "a user namespace", "unprivileged user namespaces, or root")
    argv = [*UNSHARE, sys.executable, "-m", "support.limited_stream", str(tmp_path), limit, least]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=150, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    (first, limited), (second, looked), heard = map(json.loads, done.stdout.splitlines())
    assert (first, second) == ("limited", "stored")
    assert limited.startswith(told)
    assert looked is not None
    assert heard == ["heard", None]  # once it may, it listens again
    assert "some changes are found late" in done.stderr
