"""The owner gives destinations to real sandboxes at work and takes them; nobody else does."""

from pathlib import Path

import anyio
import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch.client import Client, connect
from hutch_mcp_tools.network_records import NetworkChange
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.service import ServiceError
from support.daemon import daemon, output, run
from support.loopback import listening
from support.streams import LONG_S

pytestmark = pytest.mark.slow

CONFIG = """
[policy]
networks = ["near"]
[network.near]
host_services = ["127.0.0.1:{port}"]
[principals.ci]
volumes = {{"*" = "rw"}}
"""
# Holds one connection to the granted port, and asks for the other one until it is there
SCRIPT = """
(exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3; echo cut) &
until curl -sf -x "$HTTP_PROXY" --noproxy "" --http0.9 http://127.0.0.1:{other}/; do sleep 0.05; done
wait
curl -s -x "$HTTP_PROXY" --noproxy "" http://127.0.0.1:{port}/
exit 4
"""


async def until(client: Client, run_id: str, text: str) -> None:
    with anyio.fail_after(LONG_S):
        while text not in (await output(client, await client.get_run(run_id)))[0]:
            await anyio.sleep(0.05)


@pytest.mark.parametrize("kept", [False, True], ids=["run", "kept"])
async def test_the_owner_gives_and_takes_while_a_sandbox_lives(tmp_path: Path, kept: bool) -> None:
    async with (
        listening(b"held\n", ends=False) as port,
        listening(b"HTTP/1.0 200 OK\r\n\r\ngiven\n", ends=True) as other,
        daemon(tmp_path / "d", CONFIG.format(port=port)) as house,
        house.client() as client,
    ):
        script = SCRIPT.format(port=port, other=other)
        session = (await run(client, "true", network="near", session_id="new")).session_id if kept else None
        request = RunRequest(
            command=["bash", "-c", script], network=None if kept else "near", session_id=session, timeout_s=60
        )
        run_id = (await client.run(request, 0)).run_id
        await until(client, run_id, "held")

        give = NetworkChange(host=f"127.0.0.1:{other}", allowed=True, is_host_service=True)
        environment = Invocation(env={"HOME": str(tmp_path), "HUTCH_CONFIG": str(tmp_path / "d/config.toml")})
        words = ["net", "allow", run_id, f"127.0.0.1:{other}", "--host-service"]
        assert await anyio.to_thread.run_sync(main, words, environment) == 0
        await until(client, run_id, "given")
        changed = await client.change_network(
            session or run_id, NetworkChange(host="127.0.0.1", allowed=False)
        )
        assert (changed.of, changed.deny) == (session or run_id, ["127.0.0.1:*"])
        record = await client.get_run(run_id, 45)
        said = (await output(client, record))[0]
        assert "cut\n" in said
        assert f"127.0.0.1:{port} was taken from this run by its owner" in said
        assert record.exit_code == 4
        told = record.policy["network_changes"]
        assert isinstance(told, list)
        assert [line.split(" ", 1)[1] for line in told] == [
            f"owner: allow host service 127.0.0.1:{other}",
            "owner: deny 127.0.0.1",
        ]
        log = await client.network_log(run_id)
        assert {(one.port, one.refused) for one in log} >= {(port, "cut"), (other, None), (port, "rule")}
        if not kept:
            with pytest.raises(ServiceError, match="is not at work"):
                await client.change_network(run_id, give)


async def test_what_cannot_be_changed_says_so(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CONFIG.format(port=9)) as house, house.client() as client:
        session = (await run(client, "true", session_id="new")).session_id or ""
        with pytest.raises(ServiceError, match="started without a network") as refused:
            await client.change_network(session, NetworkChange(host="a.example.org", allowed=True))
        assert refused.value.code == "network_unchangeable"
        session = (await run(client, "true", session_id="new", network="near")).session_id or ""
        for host in ("*.com", "10.0.0.1", "a b"):
            with pytest.raises(ServiceError, match="is no host"):
                await client.change_network(session, NetworkChange(host=host, allowed=True))


async def test_nobody_but_the_owner_changes_a_network_not_even_his_own_runs(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", CONFIG.format(port=9)) as house, house.client() as owner:
        token = (await owner.create_token("ci")).token
        async with connect(house.config, token=token) as client:
            session = (await run(client, "true", session_id="new", network="near")).session_id or ""
            for change in (NetworkChange(host="a.example.org", allowed=allowed) for allowed in (True, False)):
                with pytest.raises(ServiceError) as refused:
                    await client.change_network(session, change)
                assert refused.value.code == "owner_only"
        changed = await owner.change_network(session, NetworkChange(host="a.example.org", allowed=True))
        assert changed.allow == ["127.0.0.1:9", "a.example.org:443"]
