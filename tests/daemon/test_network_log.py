"""The log of what real sandboxes connected to, and were refused, by whichever way in."""

import json
from pathlib import Path

import anyio
import pytest

from hutch.cli import main
from hutch.cli.invocation import Invocation
from hutch_mcp_tools.run_text import whole_answer
from hutch_mcp_tools.session_text import session_text
from support.daemon import daemon, run
from support.loopback import listening

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]
CONFIG = '[policy]\nnetworks = ["near"]\n[network.near]\nhost_services = ["127.0.0.1:{port}"]\n'
KNOCK = """
exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3
exec 4<>/dev/tcp/127.0.0.1/${{HTTP_PROXY##*:}}
printf 'CONNECT wiki.example.org:8443 HTTP/1.1\\r\\nHost: wiki.example.org:8443\\r\\n\\r\\n' >&4; cat <&4
getent hosts pypi.org
exit 3
"""


async def test_every_connection_and_refusal_is_told_everywhere(tmp_path: Path, capfd: Captured) -> None:
    async with (
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port)) as house,
        house.client() as client,
    ):
        record = await run(client, ["bash", "-c", KNOCK.format(port=port)], network="near")
        passed, asked, named = sorted(
            await client.network_log(record.run_id), key=lambda each: each.port == 0
        )
        passed, asked = sorted((passed, asked), key=lambda each: each.refused is not None)
        rule = f"127.0.0.1:{port}"
        assert (passed.rule, passed.way, passed.address) == (rule, "door", "127.0.0.1")
        assert (passed.sent, passed.received, passed.refused) == (0, 6, None)
        assert passed.at >= record.created_at
        assert passed.duration_s > 0
        assert (asked.host, asked.port, asked.way) == ("wiki.example.org", 8443, "proxy")
        assert (asked.rule, asked.refused) == ("wiki.example.org:8443", "rule")
        assert "ask for it with --net allow:wiki.example.org:8443" in asked.told
        assert (named.host, named.way, named.rule) == ("pypi.org", "dns", "pypi.org")
        assert record.reason == "it was refused pypi.org and 1 more"

        text = await whole_answer(client, record, 4000)
        assert f"network: {rule} by {rule}: once, 0 bytes out, 6 in\n" in text
        assert "note: pypi.org was refused: no rule allows pypi.org:443; ask for it with --net python" in text

        environment = Invocation(env={"HOME": str(tmp_path), "HUTCH_CONFIG": str(tmp_path / "d/config.toml")})
        hutch = anyio.to_thread.run_sync
        assert await hutch(main, ["net", "log", record.run_id], environment) == 0
        shown = capfd.readouterr()
        assert shown.out.splitlines()[0].split()[:3] == ["TIME", "TO", "ADDRESS"]
        assert len(shown.out.splitlines()) == 4
        assert "wiki.example.org:8443 was refused: no rule allows" in shown.err
        assert await hutch(main, ["net", "log", record.run_id, "-n", "1", "--json"], environment) == 0
        assert [one["host"] for one in json.loads(capfd.readouterr().out)] == ["pypi.org"]
        assert await hutch(main, ["show", record.run_id], environment) == 0
        assert f"connections  {rule} by {rule}: 1 connection, 0 B out, 6 B in" in capfd.readouterr().out


async def test_a_kept_sandbox_logs_for_the_run_that_was_at_work_and_for_its_session(tmp_path: Path) -> None:
    async with (
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port)) as house,
        house.client() as client,
    ):
        first = await run(client, "true", network="near", session_id="new")
        knock = f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3"
        second = await run(client, ["bash", "-c", knock], session_id=first.session_id)
        session = await client.get_session(first.session_id or "")
        assert [one.count for one in session.traffic] == [1]
        assert f"network: 127.0.0.1:{port} by 127.0.0.1:{port}: once" in session_text(session)
        assert await client.network_log(first.run_id) == []
        assert len(await client.network_log(second.run_id)) == 1
        assert len(await client.network_log(session.session_id)) == 1
