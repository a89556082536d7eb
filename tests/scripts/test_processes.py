"""The servers of a session of tests do not outlive it."""

import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import pathlib, sys, time
from support.processes import server
with server(["sleep", "100"], pathlib.Path(sys.argv[1])) as process:
    print(process.pid, flush=True)
    time.sleep(100)
"""


def test_a_server_dies_with_a_session_that_is_killed(tmp_path: Path) -> None:
    session = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert session.stdout is not None
    server = int(session.stdout.readline())
    end = time.monotonic() + 60
    while Path(f"/proc/{server}/comm").read_text() != "sleep\n":  # from then on the kernel watches
        assert time.monotonic() < end
        time.sleep(0.001)
    session.kill()
    session.communicate()
    end = time.monotonic() + 60
    while is_alive(server):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
