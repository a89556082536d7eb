"""What models use, counted outside the sandbox, and budgets: the real Claude Code on the scripted model."""

import json
import signal
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_launchers.hierarchy import find_hierarchy
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.run_records import RunRecord, RunRequest
from hutch_mcp_tools.service import ServiceError
from hutch_mcp_tools.session_records import SessionRecord
from hutch_mcp_tools.usage_records import Budget
from support.daemon import daemon, model_config, output, run, scripted_model, turn
from support.mcp_clients import codex
from support.secret_host import Relay, secret_host
from support.streams import LONG_S

pytestmark = pytest.mark.slow

KEY = {"ANTHROPIC_API_KEY": "sk-planted-canary"}
USAGE = {"input": 1000, "output": 50, "cache_read": 200, "cache_write": 30}
COST = 0.00519  # of one answer with that usage, by the list price of the model
STEP = {"shell": "echo step >> /workspace/steps", "usage": USAGE}
FOREVER = f"Work. SCRIPT: {json.dumps([STEP] * 100)}"
SHORT = f"Go on. SCRIPT: {json.dumps([STEP, {'text': 'Done.', 'usage': USAGE}])}"
ENDLESS_SHELL = r"""
exec 3<>/dev/null
for n in $(seq 50); do
  exec 3<>/dev/tcp/127.0.0.1/%s
  body='{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hi"}]}'
  printf 'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n' >&3
  printf 'Content-Length: %%s\r\n\r\n%%s' "${#body}" "$body" >&3
  head -1 <&3
done
"""


async def run_of(client: Client, session: SessionRecord) -> RunRecord:
    assert session.run_id is not None
    return await client.get_run(session.run_id)


async def test_what_is_metered_agrees_with_the_agents_own_report(tmp_path: Path) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        first = await turn(client, SHORT, "work")
        record = await run_of(client, first)
        (metered,) = record.metered
        assert record.usage is not None
        assert (metered.model, metered.requests, metered.incomplete) == ("claude-opus-5-5", 2, 0)
        assert metered.input_tokens == record.usage.input_tokens == 2000
        assert metered.output_tokens == record.usage.output_tokens == 100
        assert metered.cache_read_tokens == record.usage.cache_read_tokens == 400
        assert metered.cache_write_tokens == record.usage.cache_write_tokens == 60
        assert metered.cost_usd == pytest.approx(record.usage.cost_usd) == pytest.approx(2 * COST)
        second = await turn(client, SHORT, "work")
        assert [used.requests for used in second.metered] == [4]
        assert second.metered[0].cost_usd == pytest.approx(second.usage.cost_usd)


async def test_an_agent_is_metered_through_tls(tmp_path: Path) -> None:
    async with (
        scripted_model() as near,
        secret_host(tmp_path, Relay(near.removeprefix("http://"))) as host,
    ):
        env = KEY | host.env
        async with daemon(tmp_path / "d", model_config(host.url), env=env) as made, made.client() as client:
            session = await turn(client, SHORT, "work", budget_usd=1.0)
            assert (session.status, session.error) == ("idle", None)
            record = await run_of(client, session)
            assert [used.requests for used in record.metered] == [2]
            assert record.metered[0].host == "localhost"
            assert record.metered[0].cost_usd == pytest.approx(2 * COST)


async def test_an_agent_that_would_run_for_ever_stops_at_its_budget_and_goes_on_with_another(
    tmp_path: Path,
) -> None:
    async with (
        scripted_model(tmp_path / "log") as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        session = await turn(client, FOREVER, "work", budget_usd=0.02)
        record = await run_of(client, session)
        assert (record.status, record.metered[0].requests) == ("budget", 4)
        assert record.reason == "the budget of this run is spent: $0.0208 of $0.02"
        assert record.budgets == [
            {"name": "asked", "per": "run", "spent": "$0.0208 of $0.02", "is_spent": True, "is_near": True}
        ]
        assert len((tmp_path / "log").read_text().splitlines()) == 4
        assert "work" in record.snapshots
        kept = await run(client, "wc -l < steps", volumes=["work"])
        assert (await output(client, kept))[0].strip() == "4"
        again = await turn(client, SHORT, "work", budget_usd=0.02)
        assert (again.session_id, again.status, again.last_message) == (session.session_id, "idle", "Done.")
        assert again.agent_session_id == session.agent_session_id


async def test_an_agent_within_an_agent_is_counted(tmp_path: Path) -> None:
    nested = 'exe=$(readlink /proc/$PPID/exe); "$exe" -p "Hello." --model claude-haiku-5-5 < /dev/null'
    prompt = f"Delegate. SCRIPT: {json.dumps([{'shell': nested}, {'text': 'Done.'}])}"
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        record = await run_of(client, await turn(client, prompt, "work"))
        assert record.usage is not None
        assert record.usage.input_tokens == 2000
        used = {each.model: each.requests for each in record.metered}
        assert used["claude-opus-5-5"] == 2
        assert used["claude-haiku-5-5"] >= 1


@pytest.mark.parametrize(("budget", "expected"), [(None, "exited"), (2, "budget")])
async def test_codex_is_metered_and_stopped(tmp_path: Path, budget: int | None, expected: str) -> None:
    program = codex()
    async with scripted_model(tmp_path / "log") as url:
        provider = f'{{name="s", base_url="{url}/v1", env_key="KEY", wire_api="responses"}}'
        settings = ['model_provider="s"', f"model_providers.s={provider}", "analytics.enabled=false"]
        options = [word for setting in [*settings, "features.plugins=false"] for word in ("-c", setting)]
        options += ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", "gpt-5.5"]
        step = {"shell": "true", "usage": {**USAGE, "cache_write": 0}}
        prompt = f"SCRIPT: {json.dumps([step] * 3 + [{'text': 'done', 'usage': step['usage']}])}"
        config = f'{model_config(url)}\n[policy]\nnetworks = ["model"]\nreadable = ["{program.parent}"]\n'
        async with daemon(tmp_path / "d", config) as made, made.client() as client:
            command = [str(program), "exec", "--json", *options, prompt]
            env = {"KEY": "any", "CODEX_SQLITE_HOME": "/tmp"}
            record = await run(client, command, network="model", env=env, budget_requests=budget)
            told, _ = await output(client, record)
            assert record.status == expected
            (metered,) = record.metered
            if budget:
                assert metered.requests == budget
                assert "the budget of this run is spent: 2 of 2 requests" in told
                assert record.duration_s is not None
                assert record.duration_s < 10
            else:
                ended = next(json.loads(line) for line in told.splitlines() if '"turn.completed"' in line)
                assert metered.requests == 4
                assert metered.input_tokens + metered.cache_read_tokens == ended["usage"]["input_tokens"]
                assert metered.cache_read_tokens == ended["usage"]["cached_input_tokens"]
                assert metered.output_tokens == ended["usage"]["output_tokens"]
                assert metered.cost_usd is not None


async def test_a_run_that_is_killed_is_counted_as_a_lower_bound(tmp_path: Path) -> None:
    hang = f"Wait. SCRIPT: {json.dumps([STEP, {'hang': 60}])}"
    async with (
        scripted_model(tmp_path / "log") as url,
        daemon(tmp_path / "d", model_config(url), env=KEY) as made,
        made.client() as client,
    ):
        request = AgentRequest(agent="claude", prompt=hang, volume="work", model="claude-opus-5-5")
        session = await client.start_agent(request)
        assert session.run_id is not None
        (tmp_path / "log").touch()
        with anyio.fail_after(LONG_S):
            while len((tmp_path / "log").read_text().splitlines()) < 2:
                await anyio.sleep(0.05)
        record = await client.stop_run(session.run_id, 0)
        assert record.usage is None or not record.usage.cost_usd  # it could not tell
        (metered,) = record.metered
        assert (metered.requests, metered.incomplete) == (2, 1)
        assert (metered.input_tokens, metered.output_tokens) == (1000, 50)


async def test_a_days_budget_holds_for_every_run_and_over_a_restart(tmp_path: Path) -> None:
    async with scripted_model(tmp_path / "log") as url:
        port = url.rpartition(":")[2]
        shell = ENDLESS_SHELL % (port, port)
        config = model_config(url) + '\n[budgets.daily]\nper = "day"\nrequests = 7\n'
        config += '\n[policy]\nnetworks = ["model"]\n'
        async with daemon(tmp_path / "d", config, env=KEY) as made:
            async with made.client() as client:
                session = await turn(client, SHORT, "work")
                assert session.status == "idle"
            await made.end(signal.SIGKILL)
            await made.start()
            async with made.client() as client:
                record = await run(client, shell, network="model")
                stdout, _ = await output(client, record)
                assert stdout.count("HTTP/1.1 200") == 5
                assert (record.status, record.reason) == (
                    "budget",
                    "budget 'daily' (per day) is spent: 7 of 7 requests",
                )
                with pytest.raises(ServiceError, match="is spent") as refused:
                    await turn(client, SHORT, "work")
                assert refused.value.code == "budget_spent"


async def test_a_kept_sandbox_has_one_budget_for_all_that_runs_in_it(tmp_path: Path) -> None:
    async with scripted_model() as url:
        port = url.rpartition(":")[2]
        shell = ENDLESS_SHELL % (port, port)
        config = model_config(url) + '\n[policy]\nnetworks = ["model"]\n'
        async with daemon(tmp_path / "d", config) as made, made.client() as client:
            first = await run(client, "true", session_id="new", network="model", budget_requests=3)
            assert (first.status, first.metered) == ("exited", [])
            for expected in (3, 0):
                record = await run(client, shell, session_id=first.session_id)
                stdout, _ = await output(client, record)
                assert (record.status, stdout.count("HTTP/1.1 200")) == ("budget", expected)
            assert (await run(client, "true", session_id=first.session_id)).status == "exited"
            session = await client.get_session(first.session_id or "")
            assert [used.requests for used in session.metered] == [3]


@pytest.mark.skipif(find_hierarchy() is None, reason="no control groups, and so no freezer")
async def test_a_run_is_paused_at_its_budget_and_goes_on_with_more(tmp_path: Path) -> None:
    async with scripted_model() as url:
        port = url.rpartition(":")[2]
        asked = {"command": ENDLESS_SHELL % (port, port), "network": "model", "budget_requests": 2}
        request = RunRequest.model_validate({**asked, "pause_at_budget": True})
        config = model_config(url) + '\n[policy]\nnetworks = ["model"]\n'
        async with daemon(tmp_path / "d", config) as made, made.client() as client:
            record = await client.run(request, 0)

            async def until_paused() -> str:
                with anyio.fail_after(45):
                    while (await client.get_run(record.run_id)).status != "suspended":
                        await anyio.sleep(0.05)
                return (await output(client, record))[0]

            assert (await until_paused()).count("HTTP/1.1 200") == 2
            await client.suspend_run(record.run_id, suspended=False, budget=Budget(budget_requests=3))
            assert (await until_paused()).count("HTTP/1.1 200") == 5
            ended = await client.stop_run(record.run_id, 0)
            assert (ended.status, ended.metered[0].requests) == ("cancelled", 5)


async def test_budgets_in_bytes_and_minutes_hold_where_nothing_is_metered(tmp_path: Path) -> None:
    async with scripted_model() as url:
        address = url.removeprefix("http://")
        config = (
            f'[policy]\nnetworks = ["near"]\n[network.near]\nhost_services = ["{address}"]\n'
            '[budgets.bytes]\negress = "20KB"\n[budgets.time]\nper = "principal"\nminutes = 0.05\n'
        )
        async with daemon(tmp_path / "d", config) as made, made.client() as client:
            host, port = address.split(":")
            head = r"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
            pour = (
                f"exec 3<>/dev/tcp/{host}/{port}; printf '{head}' >&3; head -c 200000 /dev/zero >&3; cat <&3"
            )
            poured = await run(client, ["bash", "-c", pour], network="near")
            assert poured.status == "budget"
            assert (poured.reason or "").startswith("budget 'bytes' (per day) is spent: ")
            slept = await run(client, ["sleep", "60"])
            assert (slept.status, slept.reason) == (
                "budget",
                "budget 'time' (per principal) is spent: 0.05 minutes",
            )
            with pytest.raises(ServiceError) as refused:
                await run(client, "true")
            assert refused.value.code == "budget_spent"


async def test_a_budget_where_nothing_is_metered_is_refused(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        with pytest.raises(ServiceError) as refused:
            await run(client, "true", budget_usd=1)
        assert refused.value.code == "budget_unmetered"
