"""What happens when the daemon is killed while sandboxes live, or while they start."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support.launcher_leftovers import nothing_left, processes_of
from support.launcher_methods import LAUNCHERS, available, host_pids
from support.streams import until

DAEMON = """
import os, signal, sys
import anyio
sys.path[:0] = {path!r}
from support.launcher_methods import LAUNCHERS, read_line, sh, spec
from hutch_launchers.methods.bubblewrap import bubble

async def main():
    launcher, how, run_id = LAUNCHERS[sys.argv[1]], sys.argv[2], sys.argv[3]
    script = "(setsid sleep " + sys.argv[4] + " &) ; echo ready; sleep " + sys.argv[4]
    if how == "held":
        bubble.Bubble.let_go = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    elif how == "starting":
        bubble.Bubble.arrive = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    if how == "kept":
        async with launcher.keep(spec(None, run_id=run_id)) as kept, kept.start(sh(script)) as process:
            await read_line(process.stdout)
            os.kill(os.getpid(), signal.SIGKILL)
    async with launcher.launch(spec(sh(script), run_id=run_id)) as process:
        await read_line(process.stdout)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("bubblewrap", "starting"),
        ("bubblewrap", "held"),
        ("bubblewrap", "running"),
        ("bubblewrap", "kept"),
        ("docker", "running"),
        ("docker", "kept"),
        ("gvisor", "running"),
        ("gvisor", "kept"),
        ("landlock", "running"),
        ("landlock", "kept"),
        ("firejail", "running"),
        ("nsjail", "running"),
        ("nsjail", "kept"),
        ("pid", "running"),
        ("pid", "kept"),
        ("nspawn", "running"),
        ("nspawn", "kept"),
        ("podman", "running"),
        ("podman", "kept"),
        ("wrapper", "running"),
        ("wrapper", "kept"),
        ("wrapper-bwrap", "running"),
    ],
)
async def test_what_a_killed_daemon_left_is_reaped(method: str, how: str) -> None:
    await available(method)
    run_id = f"test-{os.urandom(6).hex()}"
    word = f"65.{int(run_id[-8:], 16)}"
    program = DAEMON.replace("{path!r}", repr([p for p in sys.path if p]))
    daemon = subprocess.Popen([sys.executable, "-c", program, method, how, run_id, word])
    assert daemon.wait(timeout=120) == -signal.SIGKILL
    await LAUNCHERS[method].reap(run_id)
    assert nothing_left(run_id)
    assert host_pids(word) == []
    assert await LAUNCHERS[method].reap(run_id) is False


async def test_a_sandbox_dies_with_its_daemon_without_being_reaped() -> None:
    run_id = f"test-{os.urandom(6).hex()}"
    word = f"66.{int(run_id[-8:], 16)}"
    program = DAEMON.replace("{path!r}", repr([p for p in sys.path if p]))
    daemon = subprocess.Popen([sys.executable, "-c", program, "bubblewrap", "running", run_id, word])
    assert daemon.wait(timeout=120) == -signal.SIGKILL
    await until(lambda: not host_pids(word))
    await LAUNCHERS["bubblewrap"].reap(run_id)


async def test_a_held_sandbox_does_not_take_its_daemon_s_death_for_the_word_to_go_on() -> None:
    run_id = f"test-{os.urandom(6).hex()}"
    program = DAEMON.replace("{path!r}", repr([p for p in sys.path if p]))
    daemon = subprocess.Popen([sys.executable, "-c", program, "bubblewrap", "held", run_id, "67.1"])
    assert daemon.wait(timeout=120) == -signal.SIGKILL
    for pid in processes_of(run_id):
        with suppress(OSError):  # it has gone meanwhile
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                environment = Path(f"/proc/{child}/environ").read_bytes()
                # A zombie has none any more
                assert not environment or f"HUTCH_SANDBOX={run_id}".encode() in environment
    assert await LAUNCHERS["bubblewrap"].reap(run_id) is True
    assert nothing_left(run_id)
