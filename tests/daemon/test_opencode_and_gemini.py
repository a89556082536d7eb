"""OpenCode and Gemini CLI, the real ones, in volumes: over TLS that is read, with keys they never see."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.agent_sandbox import gemini_program, opencode_binary
from support.daemon import daemon, model_config, output, scripted_model, turn
from support.secret_host import Relay, secret_host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KEYS = {"OPENAI_API_KEY": "sk-planted-canary-1", "GEMINI_API_KEY": "AIzaPlantedCanary2"}
TABLES = """
[agents.opencode]
command = "{opencode}"
base_url = "{url}/v1"
network = "model"
secrets = ["openai"]
model = "mine/gpt-5.5"

[agents.gemini]
command = "{gemini}"
base_url = "{url}"
network = "model"
model = "gemini-2.5-pro"
"""
USAGE = {"input": 1000, "output": 50, "cache_read": 200}
SHOW = {"shell": "env | grep -i planted; echo that was all | tee note"}


def config(url: str) -> str:
    return model_config(url) + TABLES.format(url=url, opencode=opencode_binary(), gemini=gemini_program())


async def ask(client: Client, agent: str, *steps: dict[str, Any], **values: object) -> SessionRecord:
    prompt = f"Work. SCRIPT: {json.dumps([{'usage': USAGE, **step} for step in steps])}"
    return await turn(client, prompt, agent, agent=agent, model=None, **values)


async def test_turns_go_on_and_what_is_metered_agrees_with_their_own_reports(tmp_path: Path) -> None:
    async with (
        scripted_model() as near,
        secret_host(tmp_path, relay := Relay(near.removeprefix("http://"))) as host,
    ):
        tables, env = config(host.url), KEYS | host.env
        async with daemon(tmp_path / "d", tables, env=env) as made, made.client() as client:
            for agent, model, key in (
                ("opencode", "gpt-5.5", KEYS["OPENAI_API_KEY"]),
                ("gemini", "gemini-2.5-pro", KEYS["GEMINI_API_KEY"]),
            ):
                relay.said = b""
                first = await ask(client, agent, SHOW, {"text": "Done."}, budget_usd=1.0)
                assert (first.status, first.error, first.last_message) == ("idle", None, "Done."), agent
                assert first.run_id is not None
                record = await client.get_run(first.run_id)
                stdout, _ = await output(client, record)
                assert "that was all" in stdout
                assert not any(key in stdout for key in KEYS.values())
                assert key.encode() in relay.said
                assert record.usage is not None
                [metered] = record.metered
                assert (metered.model, metered.requests, metered.incomplete) == (model, 2, 0)
                assert metered.input_tokens == record.usage.input_tokens == 2000
                assert metered.output_tokens == record.usage.output_tokens == 100
                assert metered.cache_read_tokens == record.usage.cache_read_tokens == 400
                assert not record.refused, agent  # it asked for nothing else

                second = await ask(client, agent, {"text": "I remember."})
                assert (second.session_id, second.turns) == (first.session_id, 2)
                assert second.agent_session_id == first.agent_session_id
                assert second.usage.input_tokens == second.metered[0].input_tokens == 3000


async def test_a_database_that_was_committed_at_work_is_whole(tmp_path: Path) -> None:
    """What the store had of OpenCode's first turn when all else was lost goes on as that conversation."""
    journal = ".hutch/opencode/opencode/opencode.db-wal"
    async with scripted_model() as url, daemon(tmp_path / "d", config(url), env=KEYS) as made:
        async with made.client() as client:
            steps = [{"say": "The word is heron.", "shell": "echo begun > begun; sleep 500"}, {"text": "x"}]
            asked = AgentRequest(agent="opencode", prompt=f"Work. SCRIPT: {json.dumps(steps)}", volume="work")
            await client.start_agent(asked, 0)
            with anyio.fail_after(200):
                # Its name, and in its database the call that it is at
                while not (named := read_id(await stored(client, ".hutch/session.json"))):
                    await anyio.sleep(0.1)
                while b"sleep 500" not in await stored(client, journal):
                    await anyio.sleep(0.1)
        await made.lose()
        (made.folder / "cache/volumes").rename(tmp_path / "lost")  # whoever still dies in there is no matter
        await made.start()
        async with made.client() as client:
            again = await turn(client, 'SCRIPT: [{"text": "I go on."}]', "work", agent="opencode", model=None)
            assert (again.status, again.error, again.last_message) == ("idle", None, "I go on.")
            assert (again.turns, again.agent_session_id) == (2, named)


async def stored(client: Client, path: str) -> bytes:
    """A file of the volume as it is in the store; nothing where there is none yet."""
    try:
        answer = await client.read_volume(ReadVolumeRequest(volume="work", path=path, limit=4 << 20))
    except ServiceError:
        return b""
    return base64.b64decode(answer.data_base64 or "")


def read_id(session: bytes) -> str:
    return str(json.loads(session)["session_id"]) if session else ""
