"""Whose runs and sessions are, on a real daemon, and what lasts beyond a restart."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from hutch.client import connect
from hutch_mcp_tools.run_records import LogRequest, RunRequest
from support.access_house import (
    CONFIG,
    House,
    code_of,
    kept,
    open_house,
    post,
    refusal,
    write,
)
from support.daemon import daemon, model_config, run, scripted_model, turn
from support.streams import LONG_S

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


async def test_runs_of_others_are_not_found(house: House) -> None:
    mine = await house.ci.run(RunRequest(command="echo secret; sleep 30"), 0)
    run_id = mine.run_id
    with anyio.fail_after(LONG_S):
        while (await house.ci.get_run(run_id)).status != "running":
            await anyio.sleep(0.02)
    for text in (run_id, run_id[:8], run_id.upper()):
        log = LogRequest(run_id=text, stream="stdout")
        for work in (house.eve.get_run(text), house.eve.read_log(log), house.eve.stop_run(text)):
            told = await refusal(work)
            assert (told[0], told[1]) == ("run_unknown", f"no run is called {text!r}")
    asked_for = {"run_id": run_id, "wait_s": 5}
    answer = await post(house, "/api/get_run?events=true", house.tokens["eve"], asked_for)
    assert json.loads(answer.text)["error"]["code"] == "run_unknown"
    for live in (True, False):
        assert run_id not in {one.run_id for one in await house.eve.list_runs(200, live=live)}
        assert run_id in {one.run_id for one in await house.ci.list_runs(200, live=live)}
        assert run_id in {one.run_id for one in await house.owner.list_runs(200, live=live)}
    assert (await house.ci.get_run(run_id)).status == "running"
    assert (await house.owner.get_run(run_id)).principal == "ci"
    assert (await house.owner.stop_run(run_id, 0)).status == "cancelled"


async def test_sessions_of_others_are_not_found(house: House) -> None:
    session = await kept(house.ci, "team-a")
    for text in (session, session[:8]):
        for work in (
            house.eve.get_session(text),
            house.eve.stop_session(text),
            house.eve.stop_session(text, remove=True),
            house.eve.send_to_agent(text, "x"),
            house.eve.list_runs(20, text),
            run(house.eve, "cat /workspace/file", session_id=text),
        ):
            assert await code_of(work) == "session_unknown"
    assert session not in str(await house.eve.list_sessions())
    assert session in str(await house.ci.list_sessions())
    assert (await house.owner.get_session(session)).principal == "ci"
    by_owner = await run(house.owner, "true", session_id=session)
    assert by_owner.principal == "ci"  # whoever sends it: what is done in a session belongs to the session
    assert (await house.ci.stop_session(session)).status == "ended"


async def test_pages_of_sessions_hold_ones_own(house: House) -> None:
    mine = [await kept(house.eve, "eve-a:/a:ro") for _ in range(2)]
    other = await kept(house.ci, "team-a:/a:ro")
    cursor, found = None, []
    while True:
        page = await house.eve.list_sessions(limit=1, cursor=cursor)
        found += [one.session_id for one in page.sessions]
        if (cursor := page.cursor) is None:
            break
    assert set(mine) <= set(found)
    assert other not in found
    for service, session in ((house.eve, mine[0]), (house.eve, mine[1]), (house.ci, other)):
        await service.stop_session(session)


# What lasts ------------------------------------------------------------


async def test_rights_tokens_and_whose_a_run_is_survive_a_restart(tmp_path: Path) -> None:
    """And a beginning of an id is unique among one's own: "several" would tell that there are others."""
    async with daemon(tmp_path / "d", 'workspace = "lab"\n' + CONFIG) as made:
        async with made.client() as owner:
            token = (await owner.create_token("eve")).token
            for volume in ("plans", "default/plans", "default/other"):
                await write(owner, volume)
            names = {one.name for one in await owner.list_volumes()}
            assert names == {"plans", "default/plans", "default/other"}  # each as it is to be written
            assert (await owner.volume_stat("default/plans")).volume.name == "default/plans"
            assert (await owner.check_volume("default/plans")).name == "default/plans"
            await owner.share_volume("plans", "eve", "ro")
            theirs = await run(owner, "true")
            async with connect(made.config, token=token) as eve:
                assert (await refusal(eve.get_run("r-")))[1] == "no run is called 'r-'"
                mine = await run(eve, "true", volumes=["plans:/p:ro"])
                assert (await eve.get_run("r-")).run_id == mine.run_id
        await made.restart()
        async with connect(made.config, token=token) as eve:
            assert [one.run_id for one in await eve.list_runs()] == [mine.run_id]
            assert await code_of(eve.get_run(theirs.run_id)) == "run_unknown"
            assert [one.name for one in await eve.list_volumes()] == ["plans"]
            assert (await refusal(eve.volume_log("default/plans")))[0] == "volume_unknown"
            assert (await refusal(run(eve, "true", volumes=["default/plans:/p:ro"])))[0] == "volume_unknown"
            assert (await run(eve, "true", volumes=["lab/plans:/p:ro"])).volumes == ["plans:/p:ro"]


async def test_two_principals_have_a_session_each_in_a_volume_that_they_share(tmp_path: Path) -> None:
    """And a session takes no further turn when its principal may not write its volume any more."""
    say = 'Say it. SCRIPT: [{"text": "Said."}]'
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url) + CONFIG, env={"ANTHROPIC_API_KEY": "any word"}) as made,
        made.client() as owner,
    ):
        tokens = [(await owner.create_token(name)).token for name in ("ci", "eve")]
        async with connect(made.config, token=tokens[0]) as ci, connect(made.config, token=tokens[1]) as eve:
            first = await turn(ci, say, "team-$args[n]", args={"n": 7})
            assert (first.volume, first.principal, first.status) == ("team-7", "ci", "idle")
            await owner.share_volume("team-7", "eve", "rw")
            other = await turn(eve, say, "default/team-7")
            assert (other.session_id != first.session_id, other.principal, other.turns) == (True, "eve", 1)
            assert [one.session_id for one in (await eve.list_sessions()).sessions] == [other.session_id]
            again = await turn(ci, say, "team-7")
            assert (again.session_id, again.turns) == (first.session_id, 2)
            await owner.share_volume("team-7", "eve", "none")
            for service in (eve, owner):
                told = await code_of(service.send_to_agent(other.session_id, say))
                assert told == "volume_unknown"
            assert await code_of(eve.send_to_agent(first.session_id, say)) == "session_unknown"
            assert (await eve.get_session(other.session_id)).turns == 1
