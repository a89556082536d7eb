"""Any program as an agent of the daemon: a shell script that remembers by a file of its own."""

import json
import math
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.events import RunEvent
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import daemon, turn

pytestmark = pytest.mark.slow

SCRIPT = """
mkdir -p "$1" && cat >> "$1/asked" && echo >> "$1/asked"
echo "thread abc-$(wc -l < "$1/asked")"
case "$2" in
  "") echo '{"type":"text","text":"I begin."}';;
  *) echo "{\\"type\\":\\"text\\",\\"text\\":\\"I go on with $2: $(head -n 1 "$1/asked")\\"}";;
esac
"""
CONFIG = f"""
[agents.mine]
adapter = "command"
command = ["sh", "-c", {json.dumps(SCRIPT)}, "mine", "{{state}}", ""]
resume = ["sh", "-c", {json.dumps(SCRIPT)}, "mine", "{{state}}", "{{session}}"]
session_pattern = 'thread (abc-\\d+)'

[agents.evil]
adapter = "command"
command = ["sh", "-c", "{{prompt}}"]
session_pattern = 'thread (abc-\\d+)'

[agents.result]
adapter = "command"
command = ["sh", "-c", 'printf "{{\\"sum\\": %s}}" "$(expr length "$0")"', "{{prompt}}"]
"""
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


async def mine(client: Client, prompt: str, **values: object) -> SessionRecord:
    return await turn(client, prompt, "work", **{"agent": "mine", "model": None, **values})


async def test_its_conversation_goes_on_by_what_its_output_says(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CONFIG) as made, made.client() as client:
        first = await mine(client, "the heron")
        assert (first.status, first.error, first.last_message) == ("idle", None, "I begin.")
        assert first.agent_session_id == "abc-1"
        second = await mine(client, "the otter")
        assert (second.session_id, second.last_message) == (first.session_id, "I go on with abc-1: the heron")
        anew = await mine(client, "the owl", resume=False)
        assert (anew.last_message, anew.agent_session_id) == ("I begin.", "abc-3")


async def test_its_last_text_is_the_result_that_was_asked_for(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CONFIG) as made, made.client() as client:
        told = await mine(client, "abc", agent="result", output_schema=SCHEMA)
        assert (told.status, isinstance(told.result, dict)) == ("idle", True)
        with pytest.raises(ServiceError) as refused:
            await mine(client, "abc", agent="result", model="m-1")
        assert (refused.value.code, "{model}" in refused.value.hint) == ("turn_invalid", True)


async def test_one_that_takes_its_state_away_loses_no_work_and_is_told_of(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CONFIG) as made, made.client() as client:
        away = "echo done > work; rm -rf .hutch; ln -s /etc .hutch; echo thread abc-1"
        told = await mine(client, away, agent="evil")
        assert told.status == "failed"
        assert (told.error or "").startswith("volume_state_invalid: '.hutch' in the volume")
        record = await client.get_run(told.run_id or "")
        assert (record.status, record.exit_code, record.reason) == ("exited", 0, told.error)
        assert {"A .hutch", "A work"} <= set(record.changed["work"])
        for _ in range(3):  # it is idle again as soon as its refusal is told
            with pytest.raises(ServiceError) as refused:
                await client.start_agent(AgentRequest(agent="evil", prompt="true", volume="work"))
            assert refused.value.code == "volume_state_invalid"


async def test_who_waits_for_a_turn_that_outlives_the_daemon_is_answered(
    tmp_path: Path,
) -> None:
    send, receive = anyio.create_memory_object_stream[RunEvent](math.inf)

    async def end_the_daemon(client: Client) -> None:
        await receive.receive()  # it is being waited for
        await client.shut_down()

    async with daemon(tmp_path / "d", CONFIG) as made, made.client() as client, made.client() as other:
        asked = AgentRequest(agent="evil", prompt="sleep 600", volume="work")
        begun = await client.start_agent(asked)
        async with send, receive, anyio.create_task_group() as tasks:
            tasks.start_soon(end_the_daemon, other)
            told = await client.get_session(begun.session_id, 500, send)
        assert told.status == "running"
