"""An agent at work in a new fork, which is made when its run begins and not by a start that is refused."""

from pathlib import Path

import anyio
import pytest

from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import daemon, run
from support.streams import LONG_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

REFUSED: tuple[tuple[str, dict[str, str], str], ...] = (
    ("try=web", {"network": "wrong"}, "network_denied"),
    ("try=web", {"method": "wrong"}, "method_unknown"),
    ("try=web", {"agent": "nobody"}, "agent_unknown"),
    ("try=web:/etc", {}, "volume_invalid"),
    ("try=web@77", {}, "snapshot_unknown"),
    ("try=nothing", {}, "volume_unknown"),
    ("web=web", {}, "volume_exists"),
)


async def test_an_agent_whose_start_is_refused_leaves_no_fork(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await run(client, "echo 1 > /data/f", volumes=["web:/data"])
        for volume, changes, code in REFUSED:
            wanted = {"agent": "claude", "prompt": "x", "volume": volume, **changes}
            with pytest.raises(ServiceError) as refused:
                await client.start_agent(AgentRequest.model_validate(wanted), 0)
            assert refused.value.code == code, refused.value.message
            assert [each.name for each in await client.list_volumes()] == ["web"]
        assert (await client.list_sessions()).sessions == []


async def test_a_fork_that_was_made_goes_again_where_its_run_does_not_come_to_work(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d") as made, made.client() as client:
        await run(client, "echo 1 > /data/f", volumes=["web:/data"])
        with pytest.raises(ServiceError) as refused:  # its volume may hold a login
            await client.start_agent(AgentRequest(agent="claude", prompt="x", volume="try=web"), 20)
        assert "has no credential" in refused.value.message
        with anyio.fail_after(LONG_S):
            while [each.name for each in await client.list_volumes()] != ["web"]:
                await anyio.sleep(0.05)
        # One that came to work stays, whatever became of it.
        await run(client, "echo 2 > /data/f; exit 3", volumes=["try=web:/data"])
        assert (await client.volume_stat("try")).parent == "web"
