"""An agent that uses Hutch from inside outlives its daemon too; its next call finds the next one."""

import signal
from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.usage_records import Budget
from support.daemon import daemon, model_config, output, scripted_model
from support.held_turns import KEY, LONG_S, begin, folders_gone, open_gate, over, run_of, script
from support.inside_client import begun_by, children, sandboxed, spending

pytestmark = pytest.mark.slow


def wait_for(name: str) -> dict[str, str]:
    return {"shell": f"echo before; until [ -e /workspace/{name} ]; do sleep 0.05; done; echo after"}


async def test_its_calls_work_again_and_what_is_begun_spends_its_budget(tmp_path: Path) -> None:
    async with scripted_model() as url, daemon(tmp_path / "d", model_config(url), env=KEY) as made:
        async with made.client() as client:
            calls = sandboxed("echo heron"), wait_for("gate"), spending(url), spending(url), {"text": "No."}
            session = await begin(client, script(*calls), hutch=True, budget_requests=2)
            run_id = session.run_id or ""
            with anyio.fail_after(LONG_S):
                while sum(use.requests for use in (await client.get_run(run_id)).metered) < 2:
                    await anyio.sleep(0.02)
            # Two requests are spent; with three more the last that it begins finds nothing left
            await client.suspend_run(run_id, suspended=False, budget=Budget(budget_requests=3))
        (runner,) = made.runners()
        await made.restart(signal.SIGKILL)
        assert made.runners() == [runner]
        async with made.client() as client:
            assert (await client.get_session(session.session_id)).status == "running"
            open_gate(made, "gate")
            ended = await over(client, session)
            record = await run_of(client, ended)
            assert (record.status, ended.run_id) == ("budget", run_id)
            assert [each["spent"] for each in record.budgets] == ["5 of 5 requests"]
            assert sum(use.requests for use in record.metered) == 5
            assert sum(use.requests for use in ended.metered) == 5
            begun = await children(client)
            assert {begun_by(each) for each in begun} == {run_id}
            last, *others = (each.status for each in begun)
            assert last in ("failed", "budget")  # refused as it began, or its request was
            assert others == ["exited", "exited"]
            assert [sum(use.requests for use in each.metered) for each in begun] == [0, 1, 0]
            assert "200 OK" in (await output(client, begun[1]))[0]
        await folders_gone(made)
