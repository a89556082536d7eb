"""Codex, the real one, at work in a volume, driven by the scripted model."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from hutch.agents import read_session
from hutch.client import Client
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from support import adder
from support.daemon import Daemon, daemon, model_config, output, scripted_model, turn
from support.planted import found_below
from support.secret_host import Relay, secret_host
from support.streams import LONG_S

pytestmark = pytest.mark.slow

KEY = {"OPENAI_API_KEY": "sk-planted-canary"}
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def config(url: str) -> str:
    return f'{model_config(url)}\n[agents.codex]\nbase_url = "{url}/v1"\nnetwork = "model"\n'


def prompt(*steps: dict[str, Any]) -> str:
    return f"Work. SCRIPT: {json.dumps(steps)}"


async def codex(client: Client, *steps: dict[str, Any], **values: object) -> SessionRecord:
    return await turn(client, prompt(*steps), "work", agent="codex", model="gpt-5.5", **values)


async def test_turns_go_on_with_the_conversation_and_usage_adds_up(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", config(url), env=KEY) as made,
        made.client() as client,
    ):
        show = {"shell": "env | grep -c planted; env | grep -c ^OPENAI_API_KEY=; echo x > note"}
        first = await codex(client, show, {"text": '{"sum": 3}'}, output_schema=SCHEMA)
        assert (first.status, first.error, first.result) == ("idle", None, {"sum": 3})
        assert first.run_id is not None
        stdout, _ = await output(client, await client.get_run(first.run_id))
        assert json.dumps("0\n1\n") in stdout  # a placeholder

        second = await codex(client, {"text": "I remember."})
        assert (second.session_id, second.turns) == (first.session_id, 2)
        assert second.agent_session_id == first.agent_session_id
        assert (second.usage.input_tokens, second.usage.output_tokens) == (3000, 150)
        [metered] = second.metered
        assert (metered.input_tokens, metered.output_tokens) == (3000, 150)

        wrong = await codex(client, {"text": "Three, I think."}, output_schema=SCHEMA)
        assert (wrong.status, wrong.result) == ("failed", None)
        assert (wrong.error or "").startswith("result_invalid: the result has not the form")

        with pytest.raises(ServiceError) as refused:
            await codex(client, {"text": "x"}, max_turns=3)
        assert (refused.value.code, "--max-minutes" in refused.value.hint) == ("turn_invalid", True)


async def test_its_key_is_put_in_outside_also_where_its_model_speaks_tls(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        secret_host(tmp_path, relay := Relay(url.partition("://")[2])) as host,
    ):
        agent = f'[agents.codex]\nbase_url = "{host.url}/v1"\nnetwork = "near"\n'
        async with (
            daemon(tmp_path / "d", f"{host.network('near')}\n{agent}", env={**KEY, **host.env}) as made,
            made.client() as client,
        ):
            told = await codex(client, {"shell": "env > seen"}, {"text": "Done."})
    assert (told.status, told.error, told.last_message) == ("idle", None, "Done.")
    assert b"authorization: bearer sk-planted-canary" in relay.said.lower()
    assert found_below(tmp_path / "d", word=b"sk-planted-canary") == []


async def test_its_servers_of_mcp_stay_with_the_session(tmp_path: Path) -> None:
    program, *args = adder.COMMAND
    server = {"command": program, "args": args, "env": {"WORD": "sum "}}
    add: list[dict[str, Any]] = [{"tool": "mcp__adder__add", "args": {"a": 1, "b": 2}}, {"text": "Three."}]
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", config(url), env=KEY) as made,
        made.client() as client,
    ):
        first = await codex(client, *add, mcp_servers={"adder": server})
        await client.send_to_agent(first.session_id, prompt(*add), 45)
        second = await client.get_session(first.session_id, 45)
        assert (second.status, second.turns) == ("idle", 2)
        stdout, _ = await output(client, await client.get_run(second.run_id or ""))
        assert '"text":"sum 3"' in stdout

        with pytest.raises(ServiceError) as refused:
            await codex(client, {"text": "x"}, mcp_servers={"far": {"url": "https://mcp.example.org/mcp"}})
        assert (refused.value.code, "mcp.example.org:443" in refused.value.message) == (
            "network_denied",
            True,
        )


async def test_what_its_servers_are_given_holds_placeholders_and_no_credential(tmp_path: Path) -> None:
    program, *args = adder.COMMAND
    refers = {"command": program, "args": args, "env": {"TRACKER_TOKEN": "secret:tracker"}}
    holds = {"url": "https://mcp.example.org", "headers": {"Authorization": "Bearer tracker-canary"}}
    async with (
        scripted_model() as url,
        daemon(
            tmp_path / "d",
            f'{config(url)}\n[secrets.tracker]\nfrom_env = "TRACKER"\nhosts = ["{url}"]\nplace = "bearer"\n'
            '[policy]\nsecrets = ["tracker"]\n',
            env={**KEY, "TRACKER": "tracker-canary"},
        ) as made,
        made.client() as client,
    ):
        with pytest.raises(ServiceError, match="header 'Authorization'") as refused:
            await codex(client, {"text": "x"}, mcp_servers={"far": holds})
        assert refused.value.code == "turn_invalid"
        look = {"shell": "grep TRACKER_TOKEN /opt/given/hutch.config.toml"}
        told = await codex(client, look, {"text": "Seen."}, mcp_servers={"adder": refers})
        assert (told.status, told.error) == ("idle", None)
        stdout, _ = await output(client, await client.get_run(told.run_id or ""))
        assert re.search(r"TRACKER_TOKEN = .{2}hutch[0-9a-f]{32}", stdout)
    assert found_below(tmp_path / "d", word=b"tracker-canary") == []


async def test_its_session_is_named_in_the_volume_while_its_first_turn_works(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", config(url), env=KEY) as made:
        async with made.client() as client:
            hang = prompt({"shell": "echo begun > begun; sleep 500"}, {"text": "x"})
            request = AgentRequest(agent="codex", prompt=hang, volume="work", model="gpt-5.5")
            working = await client.start_agent(request, 0)
            folder = (await working_file(made, "begun")).parent
            with anyio.fail_after(LONG_S):  # it is written beside what the agent does
                while (stored := read_session(folder)) is None:
                    await anyio.sleep(0.05)
            assert stored.agent == "codex"
        await made.lose()
        await made.start()
        async with made.client() as client:
            after = await codex(client, {"text": "I go on."})
            assert (after.status, after.last_message) == ("idle", "I go on.")
            assert (after.session_id, after.agent_session_id) == (working.session_id, stored.session_id)


async def working_file(made: Daemon, name: str) -> Path:
    """Return a file of an agent's volume as soon as it is in its working folder on this host."""
    with anyio.fail_after(LONG_S):
        place = made.config.daemon.cache / "volumes"
        while not (found := [*place.glob(f"*/*/tree/{name}")]):
            await anyio.sleep(0.05)
        return found[0]
