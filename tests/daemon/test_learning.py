"""A run that learns what it needs, and the network that the owner makes of it, with real sandboxes."""

import json
import re
import tomllib
from pathlib import Path

import anyio
import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch_mcp_tools.service import ServiceError
from support.daemon import Daemon, daemon, model_config, output, run, scripted_model, turn
from support.loopback import listening

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]
CONFIG = """
[policy]
networks = ["near"]   # what I trust
network_hosts = ["*.wild.example.org"]
[network.near]
host_services = ["127.0.0.1:{port}", "127.0.0.1:{unused}"]
"""
ASK = "curl -s -o /dev/null -x $HTTPS_PROXY"
SCRIPT = f"""
exec 3<>/dev/tcp/127.0.0.1/$PORT; cat <&3
for name in a b c; do {ASK} https://$name.wild.example.org/; done
{ASK} https://elsewhere.example.com/
getent hosts asked.example.com
true
"""


async def hutch(house: Daemon, *words: str) -> int:
    env = {"HOME": str(house.folder), "HUTCH_CONFIG": str(house.folder / "config.toml")}
    return await anyio.to_thread.run_sync(main, list(words), Invocation(env=env))


async def test_a_run_learns_and_what_is_accepted_is_the_least_that_it_needs(
    tmp_path: Path, capfd: Captured
) -> None:
    async with (
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port, unused=port + 1)) as house,
    ):
        file = house.folder / "config.toml"
        before = file.read_text()
        async with house.client() as client:
            env = {"PORT": str(port)}
            record = await run(client, ["bash", "-c", SCRIPT], network="learn", env=env)
            assert (await output(client, record))[0] == "hello\n"
            assert {"elsewhere.example.com:443", "asked.example.com"} <= set(record.refused)
        assert await hutch(house, "net", "propose", run_id := record.run_id) == 0
        told = capfd.readouterr()
        assert "+[network.learned]" in told.out
        assert re.search(
            r"(?s)not in it: no rule allows elsewhere.example.com:443.*never reached: ", told.err
        )
        assert file.read_text() == before

        assert await hutch(house, "net", "accept", run_id, "--name", "mine") == 0
        assert '+networks = ["near", "mine"]   # what I trust' in capfd.readouterr().out
        assert await hutch(house, "net", "accept", run_id, "--name", "mine") == 1
        assert "error: network_exists: " in capfd.readouterr().err
        assert await hutch(house, "net", "accept", run_id, "--name", "mine", "--replace") == 0
        assert capfd.readouterr().out == ""  # it is the same
        said = tomllib.loads(file.read_text())
        mine = {"allow": ["*.wild.example.org"], "host_services": [f"127.0.0.1:{port}"]}
        assert said["network"] == {**tomllib.loads(before)["network"], "mine": mine}

        await house.restart()
        async with house.client() as client:
            again = await run(client, ["bash", "-c", SCRIPT], network="mine", env=env)
            assert (await output(client, again))[0] == "hello\n"
            assert set(again.refused) == set(record.refused)
            granted = again.policy["granted"]
            assert isinstance(granted, dict)
            assert granted["network"] == [f"127.0.0.1:{port}", "*.wild.example.org:443"]


async def test_where_nothing_is_granted_all_is_refused_and_recorded(tmp_path: Path, capfd: Captured) -> None:
    async with daemon(tmp_path / "d") as house, house.client() as client:
        record = await run(client, ["bash", "-c", f"{ASK} https://a.example.com/"], network="learn")
        assert list(record.refused) == ["a.example.com:443"]
        assert record.reason == "it was refused a.example.com:443"
        assert await hutch(house, "net", "accept", record.run_id, "--name", "mine") == 1
        assert "error: nothing_learned: " in capfd.readouterr().err
        with pytest.raises(ServiceError, match="network 'learn' is not granted"):
            await run(client, "true", network="learn,near")


async def test_a_tier_bounds_what_can_be_learned(tmp_path: Path) -> None:
    async with (
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port, unused=port + 1)) as house,
        house.client() as client,
    ):
        knock = ["bash", "-c", f"{ASK} --noproxy '' https://127.0.0.1:{port}/"]
        record = await run(client, knock, network="learn", tier="offline")
        assert list(record.refused) == [f"127.0.0.1:{port}"]


async def test_an_agent_learns_too(tmp_path: Path, capfd: Captured) -> None:
    async with (
        scripted_model() as url,
        daemon(tmp_path / "d", model_config(url), env={"ANTHROPIC_API_KEY": "any word"}) as house,
        house.client() as client,
    ):
        script = json.dumps([{"shell": f"{ASK} https://a.example.com/"}, {"text": "done"}])
        session = await turn(client, f"SCRIPT: {script}", "home", network="learn")
        assert session.last_message == "done"
        assert await hutch(house, "net", "propose", session.session_id) == 0
        told = capfd.readouterr()
        assert f'+host_services = ["{url.removeprefix("http://")}"]' in told.out
        assert f'+metered = ["{url}"]' in told.out
        assert "not in it: no rule allows a.example.com:443" in told.err
