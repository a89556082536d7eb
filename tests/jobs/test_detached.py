"""Commands and scripts that are left at work outlive their daemon, as turns of agents do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from hutch_launchers import proc
from hutch_launchers.reaping import MARK
from hutch_mcp_tools.run_records import RunRequest
from support.daemon import ROOT, Daemon, daemon, output, run
from support.jobs import Host, of

pytestmark = pytest.mark.slow

_LONG_S = 100
# A method whose sandboxes outlive whoever has made them
BARE = """
[policy]
method = "bare"
force_sandbox = false
needs = []
[methods.bare]
kind = "wrapper"
command = ["{command}"]
"""
WAITING = "echo before; until [ -e /workspace/gate ]; do sleep 0.05; done; echo done > f; echo after"
SCRIPT = """# sandbox
# volume: work .
import pathlib, time
def main(word: str):
    while not pathlib.Path("gate").exists():
        time.sleep(0.05)
    print("at work")
    return {"word": word}
"""


def hutch(made: Daemon, *words: str, code: int = 0) -> str:
    """What a command of the CLI prints, on stdout where it succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "hutch", *words],
        check=False,
        env={"HUTCH_CONFIG": str(made.folder / "config.toml"), **made.env},
        cwd=ROOT,
        capture_output=True,
        timeout=_LONG_S,
    )
    assert done.returncode == code, done.stderr
    return (done.stderr if code else done.stdout).decode()


async def is_written(made: Daemon, run_id: str, word: bytes) -> None:
    """Return when a run's log on disk has a word."""
    log = made.config.daemon.state / "runs" / run_id / "stdout"
    with anyio.fail_after(_LONG_S):
        while not log.exists() or word not in log.read_bytes():
            await anyio.sleep(0.02)


def alive(run_id: str) -> list[int]:
    return list(proc.pids_with_environment(f"{MARK}={run_id}"))


def open_gate(made: Daemon) -> None:
    (made.config.daemon.cache / "volumes/default/work/tree/gate").touch()


async def nothing_left(made: Daemon) -> None:
    with anyio.fail_after(_LONG_S):
        while list((made.config.daemon.state / "jobs").glob("*")) or made.runners():
            await anyio.sleep(0.02)


async def test_a_command_that_is_detached_outlives_the_daemon(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        run_id = hutch(made, "run", "--detach", "-v", "work", "--", "sh", "-c", WAITING).strip()
        await is_written(made, run_id, b"before")
        (runner,) = made.runners()
        await made.restart(signal.SIGKILL)
        async with made.client() as client:
            assert made.runners() == [runner]
            assert [run.run_id for run in await client.list_runs(live=True)] == [run_id]
            open_gate(made)
            assert hutch(made, "logs", "-f", run_id) == "before\nafter\n"
            record = await client.get_run(run_id, _LONG_S)
            assert (record.status, record.exit_code, record.unsynced) == ("exited", 0, {})
            assert record.snapshots["work"] > 0
            second = hutch(made, "run", "--detach", "-v", "work", "--", "sleep", "600").strip()
            await made.restart(signal.SIGTERM)
        async with made.client() as client:
            hutch(made, "stop", second)
            assert (await client.get_run(second)).status == "cancelled"
        await nothing_left(made)


async def test_a_script_that_is_detached_outlives_the_daemon_and_has_its_result(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        async with made.client() as client:
            asked = RunRequest.model_validate(
                {
                    "command": [],
                    "script": {"name": "x.py", "text": SCRIPT},
                    "args": {"word": "heron"},
                    "volumes": ["work"],
                    "detach": True,
                }
            )
            begun = await client.run(asked, 0)
            assert begun.status == "running"
        await made.restart(signal.SIGKILL)
        open_gate(made)
        async with made.client() as client:
            record = await client.get_run(begun.run_id, _LONG_S)
            assert (record.status, record.result) == ("exited", {"word": "heron"})
            assert await output(client, record) == ('{"word": "heron"}\n', "at work\n")
        await nothing_left(made)


async def test_what_is_refused_is_said_at_once(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        told = hutch(made, "run", "--detach", "--session", "new", "--", "true", code=1)
        assert "a kept sandbox ends with the daemon" in told
        assert not list((made.config.daemon.state / "runs").glob("*"))


async def test_a_run_that_cannot_be_followed_has_an_end_and_the_daemon_lives(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        run_id = hutch(made, "run", "--detach", "-v", "work", "--", "sh", "-c", WAITING).strip()
        await made.lose()
        events = made.config.daemon.state / "jobs" / run_id / "events"
        events.unlink()
        events.mkdir()  # what nobody can read
        await made.start()
        async with made.client() as client:
            record = await client.get_run(run_id, _LONG_S)
            assert (record.status, record.reason.partition(":")[0]) == ("failed", "host_failed")
            assert (await run(client, "echo 1", volumes=["work"])).exit_code == 0


async def test_a_deadline_holds_though_the_runner_and_the_daemon_are_dead(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        command = "trap '' TERM; sleep 600; sleep 600"
        asked = RunRequest(command=command, timeout_s=8, cwd="/tmp", detach=True)
        async with made.client() as client:
            run_id = (await client.run(asked, 0)).run_id
        (runner,) = made.runners()
        os.kill(runner, signal.SIGSTOP)  # as good as dead: its own deadline ends nothing any more
        await made.end(signal.SIGKILL)
        os.kill(runner, signal.SIGKILL)
        with anyio.fail_after(_LONG_S):
            while alive(run_id):
                await anyio.sleep(0.05)
        await made.start()
        async with made.client() as client:
            assert (await client.get_run(run_id, _LONG_S)).status == "lost"
        await nothing_left(made)


async def test_a_script_is_a_job(tmp_path: Path) -> None:
    host = Host(tmp_path / "h")
    script = {"name": "x.py", "text": "# sandbox\ndef main(word):\n    return word.upper()\n"}
    code, events = await host.take(
        {"version": 1, "run": {"command": [], "script": script, "args": {"word": "heron"}}}
    )
    assert code == 0
    assert of(events, "run")[-1]["run"]["result"] == "HERON"
    assert host.left == []
