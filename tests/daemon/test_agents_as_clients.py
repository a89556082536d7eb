"""Agents that use Hutch from inside their sandboxes: their own runs and volumes, and nothing else."""

import json
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model, turn
from support.inside_client import CALLER, ask, begun_by, children, run_id, sandboxed, spending, told

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}


async def test_claude_runs_a_command_beside_its_own_sandbox(tmp_path: Path) -> None:
    calls = [
        {"tool": "run_in_sandbox", "args": {"command": "cat /data/seed", "volumes": ["work:/data:ro"]}},
        {"text": "Done."},
    ]
    async with (
        scripted_model(tmp_path / "log") as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        await run(client, "echo the heron > seed", volumes=["work"])
        session = await turn(client, f"Look. SCRIPT: {json.dumps(calls)}", "work", hutch=True)
        assert (session.status, session.error, session.last_message) == ("idle", None, "Done.")
        assert session.run_id is not None
        stdout, _ = await output(client, await client.get_run(session.run_id))
        assert "the heron" in stdout
        (child,) = await children(client)
        assert (child.status, begun_by(child), child.session_id) == ("exited", session.run_id, None)
        asked = (tmp_path / "log").read_text()
        assert "mcp__hutch__run_in_sandbox" in asked
        assert "mcp__hutch__start_agent" not in asked
        without = await turn(client, 'Look. SCRIPT: [{"text": "Nothing."}]', "other")
        assert without.run_id is not None
        stdout, _ = await output(client, await client.get_run(without.run_id))
        assert "mcp__hutch" not in stdout


async def test_codex_does_so_too(tmp_path: Path) -> None:
    call = {"tool": "mcp__hutch__run_in_sandbox", "args": {"command": "echo the $((6 * 7)) herons"}}
    prompt = f"Look. SCRIPT: {json.dumps([call, {'text': 'Done.'}])}"
    async with scripted_model() as url:
        codex = f'[agents.codex]\nbase_url = "{url}/v1"\nnetwork = "model"\nhutch = true\n'
        env = {"OPENAI_API_KEY": "sk-planted-canary"}
        async with (
            daemon(tmp_path / "d", model_config(url) + codex, env=env) as made,
            made.client() as client,
        ):
            session = await turn(client, prompt, "work", agent="codex", model="gpt-5.5")
            assert (session.status, session.error, session.last_message) == ("idle", None, "Done.")
            assert session.run_id is not None
            stdout, _ = await output(client, await client.get_run(session.run_id))
            assert "the 42 herons" in stdout


async def test_it_reaches_what_is_its_own_and_nothing_else(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CALLER) as made, made.client() as client:
        await run(client, "echo secret > theirs", volumes=["other"])
        before = await run(client, "echo before", volumes=["work"])
        answers = await ask(
            client,
            {"tool": "LIST"},
            {"tool": "get_run", "args": {"run_id": before.run_id}},
            {"tool": "get_run", "args": {"run_id": "r-"}},
            {"tool": "stop_run", "args": {"run_id": before.run_id}},
            {"tool": "read_volume", "args": {"volume": "other"}},
            {"tool": "list_volumes"},
            {"tool": "read_volume", "args": {"volume": "work"}},
            {"tool": "write_volume", "args": {"volume": "work", "path": "/x", "content": "x"}},
            sandboxed("echo mine"),
        )
        tools, theirs, any_, stopped, other, listed, own, written, ran = answers
        assert sorted(tools["tools"]) == [
            "get_run",
            "list_volumes",
            "read_volume",
            "run_in_sandbox",
            "stop_run",
        ]
        assert all("run_unknown" in each["text"] for each in (theirs, any_, stopped))
        assert "volume_unknown" in other["text"]
        assert "work" in listed["text"]
        assert "other" not in listed["text"]
        assert not own["is_error"]
        assert "text" not in written or written["is_error"]
        assert "mine" in ran["text"]
        again = await ask(client, {"tool": "get_run", "args": {"run_id": run_id(ran)}})
        assert "run_unknown" in again[0]["text"]  # a run of the turn before is not this one's


async def test_no_other_token_counts_at_its_door_and_its_own_is_not_inside(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CALLER) as made, made.client() as client:
        theirs = await run(client, "echo before")
        owner = {"Authorization": f"Bearer {made.token}"}
        door, port = "http://hutch.internal", made.url.rpartition(":")[2]
        answers = await ask(
            client,
            {"url": f"{door}/api/list_runs", "headers": owner},
            {"url": f"{door}/api/shutdown", "headers": owner},
            {"url": f"{door}/health"},
            {"url": f"{door}/mcp/../api/list_runs", "headers": owner},
            {"url": f"http://127.0.0.1:{port}/api/list_runs", "headers": owner},
            {"url": f"http://hutch.internal:{port}/api/list_runs", "headers": owner},
            {"tool": "get_run", "args": {"run_id": theirs.run_id}, "headers": owner},
            sandboxed(
                "cat /proc/self/environ | tr '\\0' '\\n'; cat /etc/hosts; wget -qO- http://hutch.internal/mcp"
            ),
        )
        *refused, seen, child = answers
        assert [str(each["status"]) for each in refused] == ["403", "403", "403", "403", "0", "0"]
        assert "run_unknown" in seen["text"]
        assert "hutch.internal" not in child["text"].split("bytes of stdout")[0].replace("wget", "")
        outside = await from_outside(made)
        assert outside == 401


async def from_outside(made: Daemon) -> int:
    """The status that a stranger gets at the daemon's own socket, who speaks as the door does."""
    async with await anyio.connect_unix(made.folder / "d.sock") as stream:
        head = "POST /mcp HTTP/1.1\r\nHost: hutch.internal\r\nAuthorization: Bearer "
        await stream.send(f"{head}{'x' * 43}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        return int((await stream.receive()).split()[1])


async def test_a_hundred_calls_at_once_begin_no_more_than_are_granted(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CALLER) as made, made.client() as client:
        asked = [sandboxed("sleep 600", wait_s=0, timeout_s=900)] * 100
        session = await turn(client, json.dumps({"at_once": asked}), "work", agent="caller", model=None)
        answers = await told(client, session)
        begun = [each for each in answers if not each["is_error"]]
        refused = [each for each in answers if each["is_error"]]
        assert (len(begun), len(refused)) == (3, 97)
        assert all("busy" in each["text"] for each in refused)
        ended = await children(client)
        assert [each.status for each in ended] == ["cancelled"] * 3  # with the run that began them
        assert {begun_by(each) for each in ended} == {session.run_id}


async def test_what_it_began_ends_when_it_is_stopped(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CALLER) as made, made.client() as client:
        prompt = json.dumps({"calls": [sandboxed("sleep 600", wait_s=50, timeout_s=900)]})
        session = await client.start_agent(AgentRequest(agent="caller", prompt=prompt, volume="work"), 0)
        with anyio.fail_after(60):
            while not [each for each in await children(client) if each.status == "running"]:
                await anyio.sleep(0.1)
        stopped = await client.stop_session(session.session_id)
        assert stopped.status == "ended"
        with anyio.fail_after(60):
            while not all(each.is_ended for each in await children(client)):
                await anyio.sleep(0.1)
        (child,) = await children(client)
        assert child.status == "cancelled"
        assert "has ended" in child.reason


async def test_what_it_began_spends_its_budget(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(
            tmp_path / "d", model_config(url) + CALLER.replace('network = ""', 'network = "model"'), env=KEY
        ) as made,
        made.client() as client,
    ):
        prompt = json.dumps({"calls": [spending(url)] * 3})
        session = await turn(
            client, prompt, "work", agent="caller", model=None, budget_requests=2, secrets=[]
        )
        assert session.run_id is not None
        parent = await client.get_run(session.run_id)
        assert parent.metered[0].requests == 2
        assert parent.budgets == [
            {"name": "asked", "per": "run", "spent": "2 of 2 requests", "is_spent": True, "is_near": True}
        ]
        first = (await children(client))[-1]
        assert [use.requests for use in first.metered] == [1]
        assert "200 OK" in (await output(client, first))[0]


async def test_a_second_server_of_its_name_is_refused(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CALLER) as made, made.client() as client:
        with pytest.raises(ServiceError) as refused:
            await turn(
                client,
                "{}",
                "work",
                agent="caller",
                model=None,
                mcp_servers={"hutch": {"url": "http://example.org/mcp"}},
            )
        assert refused.value.code == "turn_invalid"
