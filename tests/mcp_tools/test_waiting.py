"""A waiting client hears of its call; one that goes away takes only its own throw-away run with it."""

import re
import time
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from mcp import Client
from mcp.shared.dispatcher import ProgressFnT

from hutch_mcp_tools.progress import Pace
from hutch_mcp_tools.server import build_server
from support.mcp_answers import run_answer
from support.mcp_service import FakeService
from support.streams import LONG_S

Notices = list[tuple[float, str]]


def listener(notices: Notices) -> ProgressFnT:
    async def listen(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        notices.append((progress, message or ""))

    return listen


def until_heard(said: str, folder: Path) -> str:
    """A command that says something again and again, until `ending` has heard of it."""
    return f"until [ -e {folder}/enough ]; do printf '{said}\\n' 0; sleep 0.05; done"


def ending(notices: Notices, at: str, folder: Path) -> ProgressFnT:
    """A listener that ends such a command when it hears this."""

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        await listener(notices)(progress, total, message)
        if message == at:
            (folder / "enough").touch()

    return listen


@pytest.fixture(params=["auto", "legacy"])
async def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connect(service: FakeService, era: str, pace: Pace) -> Client:
    return Client(build_server(service, version="1", pace=pace), mode=era)


async def test_a_silent_command_still_gives_signs_of_life(
    service: FakeService, era: str, tmp_path: Path
) -> None:
    notices: Notices = []
    listen = listener(notices)

    async def end_at_the_fourth(progress: float, total: float | None, message: str | None) -> None:
        await listen(progress, total, message)
        if len(notices) == 4:
            (tmp_path / "enough").touch()

    async with connect(service, era, Pace(coalesce_s=0.01, heartbeat_s=0.05)) as client:
        call = {"command": f"until [ -e {tmp_path}/enough ]; do sleep 0.02; done"}
        await client.call_tool("run_in_sandbox", call, progress_callback=end_at_the_fourth)
    assert len(notices) >= 4
    assert all(before < after for (before, _), (after, _) in pairwise(notices))
    assert re.fullmatch(r"still waiting after \d+ s", notices[-1][1])


async def test_a_flood_of_lines_becomes_few_notices(service: FakeService, era: str, tmp_path: Path) -> None:
    notices: Notices = []
    began = time.monotonic()
    async with connect(service, era, Pace(coalesce_s=0.1, heartbeat_s=90)) as client:
        call = {
            "command": f"for n in 1 2 3 4; do seq 5000; sleep 0.05; done; {until_heard('over', tmp_path)}"
        }
        listen = ending(notices, "over", tmp_path)
        await client.call_tool("run_in_sandbox", call, progress_callback=listen)
    assert len(notices) <= 3 + (time.monotonic() - began) / 0.1
    assert notices[-1][1] == "over"


async def test_a_notice_is_one_short_harmless_line(service: FakeService, tmp_path: Path) -> None:
    notices: Notices = []
    line = "x" + 198 * "0" + "…"
    async with connect(service, "auto", Pace(coalesce_s=0.01, heartbeat_s=90)) as client:
        call = {"command": until_heard("\\033[2Jx%0999d", tmp_path)}
        await client.call_tool("run_in_sandbox", call, progress_callback=ending(notices, line, tmp_path))
    assert notices[-1][1] == line


async def test_waiting_for_a_session_gives_signs_of_life_too(service: FakeService) -> None:
    notices: Notices = []
    async with connect(service, "auto", Pace(coalesce_s=0.01, heartbeat_s=0.05)) as client:
        await run_answer(client, command="true", session_id="new")
        service.sessions["s-0001"] = service.sessions["s-0001"].model_copy(update={"status": "running"})
        call = {"session_id": "s-0001", "wait_s": 45}

        async def end_at_the_third(progress: float, total: float | None, message: str | None) -> None:
            await listener(notices)(progress, total, message)
            if len(notices) == 3:
                service.sessions["s-0001"] = service.sessions["s-0001"].model_copy(update={"status": "idle"})

        await client.call_tool("get_session", call, progress_callback=end_at_the_third)
    assert len(notices) >= 3


async def cancel_once_it_runs(service: FakeService, client: Client, tool: str, **call: object) -> None:
    with anyio.fail_after(LONG_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, tool, call)
            while not any(live.logs["stdout"] for live in service.runs.values()):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def test_a_cancelled_call_ends_the_throw_away_run_that_it_started(
    service: FakeService, era: str
) -> None:
    async with connect(service, era, Pace()) as client:
        await cancel_once_it_runs(service, client, "run_in_sandbox", command="echo up; sleep 60")
        with anyio.fail_after(LONG_S):
            await service.runs["r-0001"].ended.wait()
    assert service.runs["r-0001"].record.status == "cancelled"


async def test_a_cancelled_call_leaves_a_session_its_run(service: FakeService, era: str) -> None:
    async with connect(service, era, Pace()) as client:
        call = {"command": "echo up; sleep 60", "session_id": "new"}
        await cancel_once_it_runs(service, client, "run_in_sandbox", **call)
        assert service.runs["r-0001"].record.status == "running"


async def test_a_cancelled_wait_leaves_the_run_it_waited_for(service: FakeService, era: str) -> None:
    async with connect(service, era, Pace()) as client:
        await run_answer(client, command="echo up; sleep 60", wait_s=0)
        await cancel_once_it_runs(service, client, "get_run", run_id="r-0001", wait_s=50)
        assert service.runs["r-0001"].record.status == "running"


async def test_a_run_outlives_the_wait_of_the_call_that_started_it(service: FakeService) -> None:
    async with connect(service, "auto", Pace()) as client:
        await run_answer(client, command="sleep 0.2; echo done", wait_s=0)
    async with connect(service, "auto", Pace()) as other:
        answer = await run_answer(other, "get_run", run_id="r-0001", wait_s=45)
    assert answer.sections == {"stdout": ["done"]}
