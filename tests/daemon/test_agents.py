"""Claude Code, the real one, at work in a volume, driven by the scripted model."""

import base64
import json
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model, turn
from support.streams import LONG_S

pytestmark = pytest.mark.slow

WRITE = 'Make a note. SCRIPT: [{"write": "/workspace/note.txt", "content": "first\\n"}, {"text": "Noted."}]'
RECALL = (
    'What did I ask before? SCRIPT: [{"shell": "cat /workspace/note.txt"}, {"text": "You asked for a note."}]'
)
KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}


def requests(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def test_a_second_turn_resumes_the_first_and_usage_adds_up(tmp_path: Path) -> None:
    async with (
        scripted_model(tmp_path / "model.log") as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        first = await turn(client, WRITE, "work")
        assert (first.status, first.error, first.last_message) == ("idle", None, "Noted.")
        second = await turn(client, RECALL, "work")
        assert (second.session_id, second.turns) == (first.session_id, 2)
        assert second.agent_session_id == first.agent_session_id
        assert second.last_message == "You asked for a note."
        # Two model calls a turn, 1000 in and 50 out each, as the scripted model counts
        assert (second.usage.input_tokens, second.usage.output_tokens) == (4000, 200)
        assert second.usage.cost_usd is not None
        assert second.usage.cost_usd > (first.usage.cost_usd or 0) > 0
        stored = await client.read_volume(ReadVolumeRequest(volume="work", path="/.hutch/session.json"))
        assert first.agent_session_id is not None
        assert first.agent_session_id in base64.b64decode(stored.data_base64 or "").decode()


async def test_another_daemon_with_the_same_store_resumes_by_the_volume_alone(tmp_path: Path) -> None:
    store = f'\n[storage]\nurl = "file://{tmp_path}/store"\n'
    async with scripted_model() as url:
        async with (
            daemon(tmp_path / "one", model_config(url) + store, env=KEY) as here,
            here.client() as client,
        ):
            first = await turn(client, WRITE, "work")
        async with (
            daemon(tmp_path / "two", model_config(url) + store, env=KEY) as there,
            there.client() as client,
        ):
            second = await turn(client, RECALL, "work")
    assert second.session_id != first.session_id
    assert second.agent_session_id == first.agent_session_id
    assert second.status == "idle"


async def test_a_turn_that_dies_with_the_daemon_is_resumed_after_it(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            first = await turn(client, WRITE, "work")
            hang = 'Work long. SCRIPT: [{"shell": "echo begun > /workspace/begun; sleep 500"}, {"text": "x"}]'
            working = await client.start_agent(AgentRequest(agent="claude", prompt=hang, volume="work"), 0)
            assert working.status == "running"
            await until_file(made, "begun")
        await made.lose()
        await made.start()
        async with made.client() as client:
            found = await client.get_session(first.session_id)
            assert found.status == "idle"
            assert "resumes" in (found.error or "")
            read = await run(client, "cat begun note.txt", volumes=["work"])
            assert (await output(client, read))[0] == "begun\nfirst\n"
            after = await turn(client, RECALL, "work")
            assert (after.status, after.agent_session_id) == ("idle", first.agent_session_id)


async def test_instructions_and_skills_are_given_for_one_turn(tmp_path: Path) -> None:
    log = tmp_path / "model.log"
    async with (
        scripted_model(log) as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        skill = {"tidy": {"SKILL.md": "---\nname: tidy\ndescription: How to tidy up.\n---\nSweep.\n"}}
        given = 'Go. SCRIPT: [{"shell": "ls -R /opt/given"}, {"text": "ok"}]'
        first = await turn(client, given, "work", instructions="Answer in rhyme.", skills=skill)
        assert first.run_id is not None
        stdout, _ = await output(client, await client.get_run(first.run_id))
        assert '"tidy"' in stdout
        second = await turn(client, given, "work")
        assert second.run_id is not None
        stdout, _ = await output(client, await client.get_run(second.run_id))
        assert '"tidy"' not in stdout


async def test_an_agent_reaches_its_model_and_nothing_else(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        probe = (
            "(exec 3<>/dev/tcp/1.1.1.1/443) 2>&1; (exec 3<>/dev/tcp/127.0.0.1/22) 2>&1; "
            f"(exec 3<>/dev/tcp/127.0.0.1/{made.url.rpartition(':')[2]}) 2>&1; cat /proc/net/route; echo end"
        )
        record = await turn(client, f"Try. SCRIPT: {json.dumps([{'shell': probe}, {'text': 'ok'}])}", "work")
        assert record.status == "idle"
        assert record.run_id is not None
        stdout, _ = await output(client, await client.get_run(record.run_id))
        assert stdout.count("Connection refused") >= 2
        assert "Network is unreachable" in stdout


async def test_an_agent_without_its_network_is_refused_before_it_starts(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        with pytest.raises(ServiceError) as refused:
            await client.start_agent(
                AgentRequest(agent="claude", prompt="x", volume="work", network="none"), 20
            )
        assert refused.value.code == "network_denied"


async def test_a_model_that_fails_is_told_and_the_session_can_go_on(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        failed = await turn(client, 'Fail. SCRIPT: [{"error": 400, "message": "no such thing"}]', "work")
        assert failed.status == "failed"
        assert "no such thing" in (failed.error or "")
        after = await turn(client, WRITE, "work")
        assert (after.status, after.session_id) == ("idle", failed.session_id)


async def test_two_turns_of_one_session_never_run_at_once(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        hang = 'Wait. SCRIPT: [{"shell": "touch /workspace/begun; sleep 300"}, {"text": "x"}]'
        working = await client.start_agent(AgentRequest(agent="claude", prompt=hang, volume="work"), 0)
        with pytest.raises(ServiceError) as busy:
            await client.send_to_agent(working.session_id, "more")
        assert busy.value.code == "session_busy"
        with pytest.raises(ServiceError) as held:
            await client.run(RunRequest(command="true", volumes=["work"]), 45)
        assert held.value.code == "volume_held"
        await until_file(made, "begun")
        stopped = await client.stop_session(working.session_id)
        assert stopped.status == "ended"
        assert (await client.send_to_agent(working.session_id, WRITE, 45)).status == "idle"


async def test_no_transcript_log_or_record_of_the_daemon_holds_the_key(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        await turn(client, WRITE, "work")
    for path in (tmp_path / "d").rglob("*"):
        if path.is_file():
            assert b"sk-planted-canary" not in path.read_bytes(), path


async def until_file(made: Daemon, name: str) -> None:
    """Return when an agent's volume has a file in its working folder on this host."""
    with anyio.fail_after(LONG_S):
        place = made.config.daemon.cache / "volumes"
        while not any(place.glob(f"*/*/tree/{name}")):  # not deeper: it changes under our eyes
            await anyio.sleep(0.05)
