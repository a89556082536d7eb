"""A control group is emptied of what runs in it, and never of the process that made it."""

import os
import subprocess
import sys

import pytest

from hutch_launchers.hierarchy import find_hierarchy
from support.launcher_leftovers import groups_of

HIERARCHY = find_hierarchy()
REMOVES = """
import sys
sys.path[:0] = {path!r}
import threading
import anyio
from hutch_launchers.cgroup import make_group
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.spec import Limits

group = make_group(find_hierarchy(), sys.argv[1], Limits(wall_s=1, pids=5))
leaves = threading.Event()
group.spawn(threading.Thread(target=leaves.wait).start)
threading.Timer(0.2, leaves.set).start()
anyio.run(group.remove)
"""


@pytest.mark.skipif(
    HIERARCHY is None or HIERARCHY.version != 1,
    reason="only in version 1 are threads in groups of their own",
)
def test_a_thread_that_has_not_left_a_group_yet_is_waited_for() -> None:
    run_id = f"test-{os.urandom(6).hex()}"
    program = REMOVES.replace("{path!r}", repr([path for path in sys.path if path]))
    assert subprocess.run([sys.executable, "-c", program, run_id], check=False, timeout=60).returncode == 0
    assert groups_of(run_id) == []
