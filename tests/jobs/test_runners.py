"""Turns of agents outlive their daemon: it is ended, killed, replaced, and the next one follows them on."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import cast

import anyio
import pytest
from anyio.abc import ByteStream

from hutch.budgets import Most, Refused
from hutch.errors import HutchError
from hutch.jobs.peer import Peer
from hutch.runner.control import Control
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.runners.following import Following
from hutch.state import Run
from hutch.supervisor import Stop
from hutch_launchers.hierarchy import find_hierarchy
from hutch_mcp_tools.network_records import NetworkChange
from support.away import away
from support.daemon import daemon, model_config, output, scripted_model, turn
from support.forked_daemon import fork_daemon
from support.held_turns import (
    KEY,
    LONG_S,
    begin,
    folders_gone,
    gated,
    is_written,
    open_gate,
    over,
    rows,
    run_of,
    script,
)

pytestmark = pytest.mark.slow

_KILLED = "the process that took this run was killed"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_turn_outlives_its_daemon_and_the_next_follows_it_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        (runner,) = made.runners()
        await made.end(number)
        assert made.runners() == [runner]
        await made.start()
        async with made.client() as client:
            assert [run.run_id for run in await client.list_runs(live=True)] == [session.run_id]
            assert (await client.get_session(session.session_id)).status == "running"
            open_gate(made, "gate")
            ended = await over(client, session)
            assert (ended.status, ended.error, ended.last_message) == ("idle", None, "Held.")
            assert ended.turns == 1
            record = await run_of(client, ended)
            assert (record.status, record.exit_code) == ("exited", 0)
            assert record.snapshots["work"] > 0
            # Three calls of the model, 1000 in and 50 out each, as it counts and as they were metered
            assert (ended.usage.input_tokens, ended.usage.output_tokens) == (3000, 150)
            assert [(use.requests, use.input_tokens) for use in ended.metered] == [(3, 3000)]
            whole, _ = await output(client, record)
            assert len(whole.encode()) == record.stdout_bytes
            assert [json.loads(line) for line in whole.splitlines()]  # no line is torn
            again = await turn(client, 'More. SCRIPT: [{"text": "On."}]', "work")
            assert (again.agent_session_id, again.turns) == (ended.agent_session_id, 2)
        await folders_gone(made)


async def test_what_happens_while_no_daemon_is_there_is_stored_once(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        jobs, copy = made.config.daemon.state / "jobs", tmp_path / "copy"
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.end(signal.SIGKILL)
        open_gate(made, "gate")
        with anyio.fail_after(LONG_S):
            while made.runners():
                await anyio.sleep(0.05)
        shutil.copytree(jobs, copy, ignore=shutil.ignore_patterns("keeper"))  # a pipe
        await made.start()
        async with made.client() as client:
            ended = await over(client, session)
            assert (ended.status, ended.last_message) == ("idle", "Held.")
            assert [use.requests for use in ended.metered] == [3]
        await folders_gone(made)
        stored = rows(made)
        await made.end()
        shutil.copytree(copy, jobs, dirs_exist_ok=True)  # as if it had been killed between event and store
        await made.start()
        await folders_gone(made)
        assert rows(made) == stored


async def test_a_killed_runner_is_a_lost_run_whose_work_is_kept(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        session = await begin(client, gated("gate"))
        await is_written(made, session, b'"tool_use"')
        (runner,) = made.runners()
        os.kill(runner, signal.SIGKILL)
        ended = await over(client, session)
        assert ended.status == "idle"
        assert (
            ended.error
            == "the process that took this run was killed; its next prompt resumes the conversation"
        )
        record = await run_of(client, ended)
        assert (record.status, record.reason) == ("lost", _KILLED)
        await folders_gone(made)
        again = await turn(client, 'More. SCRIPT: [{"text": "On."}]', "work")
        assert (again.status, again.last_message, again.turns) == ("idle", "On.", 2)
        assert again.agent_session_id == ended.agent_session_id or ended.agent_session_id is None
        assert (await client.check_volume("work")).problems == []


async def test_a_runner_that_had_not_begun_is_begun_by_the_next_daemon(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.lose()
        (folder,) = (made.config.daemon.state / "jobs").iterdir()
        for name in ("events", "begun.json"):  # as it was before
            (folder / name).unlink()
        await made.start()
        async with made.client() as client:
            open_gate(made, "gate")
            ended = await over(client, session)
            assert (ended.status, ended.last_message) == ("idle", "Held.")
        await folders_gone(made)


async def test_a_job_that_cannot_be_read_is_a_lost_run(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.lose()
        (folder,) = (made.config.daemon.state / "jobs").iterdir()
        (folder / "job.json").write_text('{"version": 1, "what": "else"}')
        await made.start()
        async with made.client() as client:
            assert (await run_of(client, session)).status == "lost"
            assert (await client.get_session(session.session_id)).status == "idle"
        await folders_gone(made)


async def test_a_turn_of_an_earlier_daemon_is_steered_by_the_next(
    tmp_path: Path,
) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.restart(signal.SIGKILL)
        async with made.client() as client:
            run_id = session.run_id or ""
            changed = await client.change_network(run_id, NetworkChange(host="example.org", allowed=True))
            assert "example.org:443" in changed.allow
            assert "allow example.org" in str((await client.get_run(run_id)).policy["network_changes"])
            if find_hierarchy() is not None:  # without control groups nothing can be held still
                assert (await client.suspend_run(run_id)).status == "suspended"
                assert (await client.get_session(session.session_id)).status == "suspended"
                assert (await client.suspend_run(run_id, suspended=False)).status == "running"
            stopped = await client.stop_run(run_id)
            assert (stopped.status, stopped.reason.partition(";")[0]) == ("cancelled", "stopped on request")
            assert (await client.get_session(session.session_id)).status == "idle"
        await folders_gone(made)


async def test_who_waits_at_a_terminal_is_told_the_end_by_the_next_daemon(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        words = ("agent", "claude", "-v", "work", "--model", "claude-opus-5-5", gated("gate"))
        env = {"HUTCH_CONFIG": str(made.folder / "config.toml"), **made.env}
        told = tmp_path / "told"
        watching = fork_daemon(env, tmp_path / "log", (), words, told)
        async with made.client() as client:
            with anyio.fail_after(LONG_S):
                while not (page := await client.list_sessions("running")).sessions:
                    await anyio.sleep(0.02)
            await is_written(made, page.sessions[0], b'"tool_use"')
        await made.restart(signal.SIGKILL)
        open_gate(made, "gate")
        with anyio.fail_after(LONG_S):
            assert await watching.wait() == 0
        await watching.aclose()
        assert told.read_text().count("Held.") == 1


async def test_a_shared_budget_is_asked_of_the_daemon_and_waits_for_the_next(tmp_path: Path) -> None:
    budget = '\n[budgets.daily]\nper = "day"\nrequests = 4\n'
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url) + budget, env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.end(signal.SIGKILL)
        open_gate(made, "gate")
        log = made.config.daemon.state / "runs" / (session.run_id or "") / "stdout"
        with anyio.fail_after(LONG_S):
            while b"after" not in log.read_bytes():  # the tool has ended; its answer is for the model
                await anyio.sleep(0.02)
        assert b"Held." not in log.read_bytes()
        await made.start()
        async with made.client() as client:
            ended = await over(client, session)
            assert (ended.status, ended.last_message) == ("idle", "Held.")
            record = await run_of(client, ended)
            assert [(each["name"], each["spent"]) for each in record.budgets] == [
                ("daily", "3 of 4 requests")
            ]
            second = await turn(client, script({"shell": "true"}, {"text": "x"}), "other")
            record = await run_of(client, second)
            assert (record.status, "daily" in record.reason) == ("budget", True)
            assert sum(use.requests for use in (*ended.metered, *second.metered)) == 4


async def test_a_commit_that_waits_for_the_store_outlives_the_daemon(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            await turn(client, script({"text": "There."}), "work")
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
            with away(made, "work"):
                open_gate(made, "gate")
                ended = await over(client, session)
                assert (ended.status, ended.last_message) == ("idle", "Held.")
                assert list((await run_of(client, ended)).unsynced) == ["work"]
                (runner,) = made.runners()
                await made.restart(signal.SIGKILL)
                assert made.runners() == [runner]
                async with made.client() as again:
                    assert list((await run_of(again, ended)).unsynced) == ["work"]
        async with made.client() as client:
            with anyio.fail_after(LONG_S):
                while (record := await run_of(client, ended)).unsynced:
                    await anyio.sleep(0.05)
            assert record.snapshots["work"] > 0
        await folders_gone(made)


async def test_everything_is_ended_by_one_command_also_what_no_daemon_follows(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            session = await begin(client, gated("gate"))
            await is_written(made, session, b'"tool_use"')
        await made.restart(signal.SIGKILL)
        env = {"HUTCH_CONFIG": str(made.folder / "config.toml"), **made.env}
        ending = fork_daemon(env, tmp_path / "log", (), ("stop", "--all"))
        with anyio.fail_after(LONG_S):
            assert await ending.wait() == 0
        await ending.aclose()
        assert f"{session.run_id}: cancelled" in (tmp_path / "log").read_text()
        await folders_gone(made)
        async with made.client() as client:
            assert (await client.get_session(session.session_id)).status in ("idle", "ended")


async def test_a_stop_of_a_run_whose_runner_has_just_gone_holds_up_nobody(tmp_path: Path) -> None:
    live = LiveRun(Run("r-one", "running", "a", "bubblewrap", 1), RunLog(tmp_path, 1))
    stop, gone = live.stop, Peer(cast("ByteStream", None), {})
    gone._is_gone = True
    following = object.__new__(Following)
    following.live, following._peer = live, gone
    stop.ask("x", 1)
    with anyio.move_on_after(0.2) as waited:
        await following._pass_stop_on()
    assert waited.cancelled_caught


async def test_a_request_is_refused_where_no_daemon_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hutch.runner.control._PATIENCE_S", 0.05)
    control = Control("r-one", Stop())
    refused = await control.admit(Most(), asks_model=True)
    assert isinstance(refused, Refused)
    assert "is away" in refused.why
    with pytest.raises(HutchError) as raised:
        await control.refuse_spent()
    assert raised.value.code == "daemon_away"
