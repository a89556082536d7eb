"""A deadline holds though the daemon is killed: sandboxes die with it, or its keeper ends them in time."""

import os
import signal
import time
from pathlib import Path

import anyio
import pytest

from hutch.config import Method
from hutch.deadlines import Deadlines, let_keeper_go
from hutch_launchers import proc
from hutch_launchers.reaping import MARK
from hutch_mcp_tools.run_records import RunRequest
from support.daemon import Daemon, daemon
from support.streams import LONG_S, until

BARE = """
[policy]
method = "bare"
force_sandbox = false
needs = []
kept_idle_s = 3
[methods.bare]
kind = "wrapper"
command = ["{command}"]
"""


def alive(run_id: str) -> list[int]:
    return list(proc.pids_with_environment(f"{MARK}={run_id}"))


def keepers(made: Daemon) -> list[int]:
    """Processes that keep the deadlines of this daemon or of one before it."""
    file = str(made.config.daemon.state / "keeper").encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


async def until_gone(run_id: str) -> None:
    await until(lambda: not alive(run_id))


async def start(made: Daemon, timeout_s: float, **more: object) -> str:
    asked = {"command": "trap '' TERM; sleep 300; sleep 300", "timeout_s": timeout_s, "cwd": "/tmp", **more}
    async with made.client() as client:
        record = await client.run(RunRequest.model_validate(asked), 0)
        with anyio.fail_after(LONG_S):
            while record.status != "running":
                record = await client.get_run(record.run_id)
    return record.session_id or record.run_id


async def test_what_outlives_the_daemon_is_ended_at_its_deadline(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        begun = time.monotonic()
        run_id = await start(made, 4)
        await made.end(signal.SIGKILL)
        # Nothing but the keeper ends it; a busy machine may have taken so long until here
        assert alive(run_id) or time.monotonic() - begun > 4
        await until_gone(run_id)
        assert time.monotonic() - begun > 4
        await until(lambda: not keepers(made))
        await made.start()


async def test_a_kept_sandbox_that_outlives_the_daemon_ends_as_idle(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        session_id = await start(made, 300, session_id="new")
        begun = time.monotonic()
        await made.end(signal.SIGKILL)
        assert alive(session_id) or time.monotonic() - begun > 3
        await until_gone(session_id)
        assert time.monotonic() - begun > 3
        await made.start()


async def test_a_successor_takes_over_from_the_keeper(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        run_id = await start(made, 300)
        await made.end(signal.SIGKILL)
        assert len(keepers(made)) == 1
        await made.start()
        assert not alive(run_id)
        await until(lambda: not keepers(made))


@pytest.mark.parametrize("methods", ["", '[methods.bare]\nkind = "pid"\n'])
async def test_a_successor_without_the_method_ends_it_too(tmp_path: Path, methods: str) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        run_id = await start(made, 300)
        kept_id = await start(made, 300, session_id="new")
        await made.end(signal.SIGKILL)
        file = made.folder / "config.toml"
        said = file.read_text().replace('method = "bare"', 'method = "bubblewrap"')
        file.write_text(said.partition("[methods.bare]")[0] + methods)
        await made.start()
        assert not alive(run_id)
        assert not alive(kept_id)


async def test_a_keeper_that_was_killed_is_replaced_and_knows_all(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        first = await start(made, 5)
        (keeper,) = keepers(made)
        os.kill(keeper, signal.SIGKILL)
        second = await start(made, 5)
        assert len(keepers(made)) == 1
        await made.end(signal.SIGKILL)
        await until_gone(first)
        await until_gone(second)
        await made.start()


@pytest.mark.real("bubblewrap")
async def test_a_sandbox_of_bubblewrap_dies_with_the_daemon(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made:
        run_id = await start(made, 300)
        kept = await start(made, 300, session_id="new")
        assert alive(run_id)
        await made.end(signal.SIGKILL)
        await until_gone(run_id)
        await until_gone(kept)
        await made.start()


async def test_a_daemon_that_ends_in_order_leaves_no_keeper(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", BARE) as made:
        await start(made, 300)
        assert len(keepers(made)) == 1
        await made.end()
        await until(lambda: not keepers(made))  # it waits for its going, and on a busy machine not for ever
        await made.start()


async def test_a_keeper_is_told_to_go_before_it_looks_and_though_its_pipe_is_gone(tmp_path: Path) -> None:
    deadlines = Deadlines({"bare": Method("wrapper", {"command": ["{command}"]})}, tmp_path / "keeper")
    deadlines.set("r-0", "bare", "r-0", in_s=300)
    keeper = deadlines._process
    assert keeper is not None
    keeper.send_signal(signal.SIGSTOP)
    let_keeper_go(tmp_path / "keeper")
    (tmp_path / "keeper").unlink()
    let_keeper_go(tmp_path / "keeper")
    await deadlines.aclose()  # as if we had died
    keeper.send_signal(signal.SIGCONT)
    assert keeper.wait(LONG_S) == 0


async def test_a_keeper_that_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    deadlines = Deadlines({"bare": Method("wrapper", {"command": ["{command}"]})}, tmp_path / "keeper")
    deadlines.set("r-0", "bare", "r-0", in_s=300)
    first = deadlines._process
    assert first is not None
    first.send_signal(signal.SIGSTOP)
    for number in range(10_000):
        deadlines.set(f"r-{number}", "bare", f"r-{number}", in_s=300)
    assert deadlines._process is not first
    for number in range(10_000):
        deadlines.drop(f"r-{number}")
    last = deadlines._process
    assert last is not None
    await deadlines.aclose()
    assert last.wait(LONG_S) == 0
