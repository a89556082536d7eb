"""Agents that nobody watches: the queue, retries after an overload, both over lives of the daemon."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import Daemon, daemon, model_config, output, scripted_model, turn
from support.daemon import run as run_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # several turns of a real agent each

KEY = {"ANTHROPIC_API_KEY": "any word", "CLAUDE_CODE_MAX_RETRIES": "1"}
DONE = 'Go. SCRIPT: [{"text": "Done."}]'
ONE_AT_ONCE = "\n[policy]\nmax_concurrent_turns = 1\nmax_queued_turns = 2\n"


def config(url: str, *agent: str) -> str:
    """Claude Code with one retry of its own; ours come at once."""
    lines = ['pass_env = ["CLAUDE_CODE_MAX_RETRIES"]', *(agent or ["retry_s = 0.01"])]
    return model_config(url).replace("[agents.claude]\n", "[agents.claude]\n" + "\n".join(lines) + "\n")


async def start(client: Client, prompt: str, volume: str, **values: object) -> SessionRecord:
    return await client.start_agent(
        AgentRequest.model_validate({"agent": "claude", "prompt": prompt, "volume": volume, **values})
    )


async def over(client: Client, session: SessionRecord) -> SessionRecord:
    while (session := await client.get_session(session.session_id, 45)).status in ("queued", "running"):
        pass
    return session


async def runs_of(client: Client, session: SessionRecord) -> list[RunRecord]:
    return sorted(await client.list_runs(50, session.session_id), key=lambda run: run.retry)


def hold(gate: str, first: str = "") -> str:
    """A turn that works until a file is there."""
    script = [{"shell": f"{first}until [ -e /workspace/{gate} ]; do sleep 0.05; done"}, {"text": "Held."}]
    return f"Wait. SCRIPT: {json.dumps(script)}"


async def open_gate(made: Daemon, gate: str) -> None:
    """Make the file in every working folder of a volume, from outside."""
    for tree in (made.config.daemon.cache / "volumes").glob("*/*/tree"):
        (tree / gate).touch()


async def until_file(made: Daemon, name: str) -> None:
    with anyio.fail_after(120):
        while not any((made.config.daemon.cache / "volumes").glob(f"*/*/tree/{name}")):
            await anyio.sleep(0.05)


async def test_turns_beyond_the_bound_wait_in_a_queue_over_a_death_of_the_daemon(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", config(url) + ONE_AT_ONCE, env=KEY) as made:
        async with made.client() as client:
            await start(client, hold("gate"), "first")
            second, third = await start(client, DONE, "second"), await start(client, DONE, "third")
            assert [(s.status, s.queue_place) for s in (second, third)] == [("queued", 1), ("queued", 2)]
            assert third.note == "in the queue, at place 2"
            page = await client.list_sessions("queued")
            assert {s.session_id for s in page.sessions} == {second.session_id, third.session_id}
            told = {
                run.session_id: (run.status, run.queue_place) for run in await client.list_runs(live=True)
            }
            assert told[third.session_id] == ("queued", 2)
            with pytest.raises(ServiceError) as full:
                await start(client, DONE, "fourth")
            assert full.value.code == "busy"
            with pytest.raises(ServiceError) as twice:
                await client.send_to_agent(second.session_id, "more")
            assert twice.value.code == "session_busy"
            stopped = await client.stop_run((await client.get_session(second.session_id)).run_id or "")
            assert (stopped.status, stopped.reason) == ("cancelled", "stopped on request")
            assert (await client.get_session(second.session_id)).status == "idle"
            assert (await client.get_session(third.session_id)).queue_place == 1
        await made.lose()
        await made.start()
        async with made.client() as client:
            ended = await over(client, third)
            assert (ended.status, ended.last_message, ended.turns) == ("idle", "Done.", 1)


async def test_the_queue_moves_when_a_turn_ends(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", config(url) + ONE_AT_ONCE, env=KEY) as made,
        made.client() as client,
    ):
        first = await start(client, hold("gate"), "first")
        second = await start(client, DONE, "second")
        assert (second.status, second.queue_place) == ("queued", 1)
        await open_gate(made, "gate")
        assert (await over(client, first)).last_message == "Held."
        ended = await over(client, second)
        assert (ended.status, ended.last_message) == ("idle", "Done.")


async def test_an_overload_is_resumed_and_the_model_is_told_the_prompt_once(tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    script = [
        {"shell": "echo once >> /workspace/steps"},
        {"error": 529, "times": 3, "in_all": True},
        {"text": "At last."},
    ]
    async with (
        scripted_model(log) as url,
        daemon(tmp_path / "d", config(url), env=KEY) as made,
        made.client() as client,
    ):
        session = await turn(client, f"Work. SCRIPT: {json.dumps(script)}", "work", budget_usd=1.0)
        assert (session.status, session.error, session.last_message) == ("idle", None, "At last.")
        assert session.turns == 1
        runs = await runs_of(client, session)
        assert [(run.retry, run.status) for run in runs] == [(0, "exited"), (1, "exited")]
        assert ["529" in run.reason for run in runs] == [True, False]
        # One call of the model before the overload, one after it, 1000 in each
        assert session.usage.input_tokens == 2000
        assert [use.requests for use in session.metered] == [2]
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(str(one["newest"]).startswith("Work.") for one in asked) == 1
    assert str(asked[-1]["newest"]).startswith("The model's service failed")


async def test_retries_end_with_their_number_also_after_a_death_of_the_daemon(tmp_path: Path) -> None:
    prompt = 'Work. SCRIPT: [{"error": 503}]'
    agent = "retries = 1", "retry_s = 600"
    async with scripted_model() as url, daemon(tmp_path / "d", config(url, *agent), env=KEY) as made:
        async with made.client() as client:
            session = await start(client, prompt, "work")
            while (session := await client.get_session(session.session_id)).status != "queued":
                await anyio.sleep(0.05)
            assert session.note.startswith("retry 1 of 1 begins in ")
            assert session.queue_place is None
            assert (await turn(client, prompt, "other", retries=0)).status == "failed"
        await made.end(signal.SIGKILL)
        with closing(sqlite3.connect(made.config.daemon.state / "state.db")) as state, state:
            state.execute("UPDATE turns SET due_at = 0")
        await made.start()
        async with made.client() as client:
            session = await over(client, session)
            assert session.status == "failed"
            assert [run.retry for run in await runs_of(client, session)] == [0, 1]


async def test_a_stop_lets_the_agent_write_down_what_it_has_and_its_next_prompt_resumes(
    tmp_path: Path,
) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", config(url, "stop_grace_s = 60"), env=KEY) as made,
        made.client() as client,
    ):
        session = await start(client, hold("never", "touch /workspace/begun; "), "work")
        await until_file(made, "begun")
        noted = "Bash: touch /workspace/begun"
        while "so far" not in (working := await client.get_session(session.session_id)).note or (
            not working.note.startswith(noted)
        ):
            await anyio.sleep(0.05)  # its answer is being counted, and its tool is told
        assert "; 1,050 tokens, $" in working.note
        assert working.note_since is not None
        run = await client.stop_run(session.run_id or "")
        assert (run.status, run.exit_code) == ("cancelled", 0)  # by itself: the grace was not needed
        assert run.reason == "stopped on request; interrupted; its next prompt resumes the conversation"
        assert run.usage is not None  # it said so itself
        session = await client.get_session(session.session_id)
        assert (session.status, session.error) == ("idle", run.reason)
        after = await turn(client, DONE, "work")
        assert (after.status, after.agent_session_id) == ("idle", session.agent_session_id)


async def test_a_bundle_is_laid_in_for_a_turn_and_leaves_the_users_files_alone(tmp_path: Path) -> None:
    house = tmp_path / "house"
    (house / "tidy").mkdir(parents=True)
    (house / "tidy/SKILL.md").write_text("---\nname: tidy\ndescription: How to tidy up.\n---\nSweep.\n")
    (house / "how.md").write_text("Answer in rhyme.")
    bundle = f'\n[bundles.house]\ninstructions = "{house}/how.md"\nskills = ["{house}"]\n'
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", config(url) + bundle, env=KEY) as made,
        made.client() as client,
    ):
        with pytest.raises(ServiceError) as unknown:
            await start(client, DONE, "work", bundles=["home"])
        assert unknown.value.code == "bundle_unknown"
        mine = "mkdir -p .claude/skills/tidy; echo mine > .claude/skills/tidy/SKILL.md; echo mine > CLAUDE.md"
        await run_command(client, mine, volumes=["work"])
        look = [{"shell": "cat /opt/given/instructions.md; find /opt/given -name SKILL.md"}, {"text": "ok"}]
        session = await turn(client, f"Look. SCRIPT: {json.dumps(look)}", "work", bundles=["house"])
        said, _ = await output(client, await client.get_run(session.run_id or ""))
        assert "Answer in rhyme." in said
        assert "tidy/SKILL.md" in said
        left = await run_command(client, "cat CLAUDE.md .claude/skills/*/SKILL.md", volumes=["work"])
        assert (await output(client, left))[0] == "mine\nmine\n"
        changed = (await client.get_run(session.run_id or "")).changed["work"]
        assert [path for path in changed if ".hutch" not in path] == []
