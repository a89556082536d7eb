"""Kept sandboxes of every method: commands at once, what lives on between them, held still, ended."""

import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from support.contract_column import ROOT_USER, who
from support.daemon import Daemon, output, run
from support.growing import grows, has_said, stands_still
from support.kept_methods import KEPT, daemon_with
from support.left_behind import left_behind, saying
from support.streams import LONG_S, until

pytestmark = [pytest.mark.slow, pytest.mark.apart("house"), pytest.mark.timeout(300)]
_COUNT = "while true; do echo x; sleep 0.02; done"


@dataclass
class House:
    made: Daemon
    client: Client
    method: str

    async def begin(self, command: str, **more: object) -> RunRecord:
        """A run that has said something already."""
        record = await self.client.run(RunRequest.model_validate({"command": command, **more}), 0)
        return await has_said(self.client, record.run_id)


@pytest.fixture(scope="module", params=KEPT)
async def house(request: pytest.FixtureRequest) -> AsyncGenerator[House]:
    async with daemon_with(request.param, who(ROOT_USER)) as made, made.client() as client:
        yield House(made, client, request.param)


async def until_gone(word: str) -> None:
    await until(lambda: not saying(word))


async def nothing_left(house: House, session_id: str, word: str) -> None:
    """An engine takes a moment to forget a container that has ended."""
    await until(lambda: not left_behind(house.method, house.made.folder / "none", {session_id}, word))


async def test_commands_at_once_and_what_they_leave_until_the_session_ends(house: House) -> None:
    word = f"71.{os.getpid()}"
    first = await house.begin(f"(setsid sleep {word} >/dev/null 2>&1 &); {_COUNT}", session_id="new")
    session_id = first.session_id or ""
    done: list[str] = []

    async def other(number: int) -> None:
        record = await run(house.client, f"echo {number}", session_id=session_id)
        done.append((await output(house.client, record))[0].strip())

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(other, number)
    assert sorted(done) == ["0", "1", "2", "3"]
    await grows(house.client, first.run_id)
    await house.client.stop_run(first.run_id, 0)
    assert (await run(house.client, "true", session_id=session_id)).exit_code == 0
    if house.method != "gvisor":  # whose processes the host does not see
        assert saying(word)
    assert (await house.client.stop_session(session_id)).status == "ended"
    assert saying(word) == []
    await nothing_left(house, session_id, word)


async def test_it_stands_still_with_all_in_it_and_goes_on(house: House) -> None:
    run_ = await house.begin(_COUNT, session_id="new")
    session_id = run_.session_id or ""
    assert (await house.client.suspend_session(session_id)).status == "suspended"
    await stands_still(house.client, run_.run_id)
    assert (await house.client.suspend_session(session_id, suspended=False)).status == "running"
    await grows(house.client, run_.run_id)
    await house.client.suspend_session(session_id)
    with anyio.fail_after(LONG_S):
        assert (await house.client.stop_session(session_id)).status == "ended"


async def test_what_is_suspended_or_has_a_deadline_ends_though_the_daemon_is_dead(house: House) -> None:
    word = f"72.{os.getpid()}"
    command = f"(setsid sh -c 'trap \"\" TERM HUP; exec sleep {word}' >/dev/null 2>&1 &); {_COUNT}"
    suspended = await house.begin(command)
    limited = await house.begin(command, timeout_s=3)
    kept = await house.begin(command, session_id="new")
    await house.client.suspend_run(suspended.run_id)
    await house.client.suspend_session(kept.session_id or "")
    await house.made.end(signal.SIGKILL)
    await until_gone(word)
    ids = {suspended.run_id, limited.run_id, kept.run_id, kept.session_id or ""}
    await house.made.start()
    await house.made.end()
    await until_gone(f"{house.made.folder}/")  # the keeper looks for a successor twice a second
    assert left_behind(house.method, house.made.folder, ids, word) == []
    await house.made.start()
