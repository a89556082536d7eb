"""Rules of requests in a real sandbox: what they let through passes, the rest is told."""

from pathlib import Path

import pytest

from support.daemon import daemon, output, run
from support.exchange_world import HOST, Server
from support.secret_host import secret_host

pytestmark = pytest.mark.slow


async def test_only_what_a_rule_lets_through_passes_and_the_rest_is_told(tmp_path: Path) -> None:
    server = Server(headers=[("Content-Length", "5")])
    async with secret_host(tmp_path, server) as host:
        where = f"{HOST}:{host.port}"
        config = f"""
[policy]
networks = ["reader"]

[network.reader]
host_services = ["{where}"]
http = {{"{where}" = {{methods = ["GET"], paths = ["/v1/*"]}}}}
"""
        async with daemon(tmp_path / "d", config, env=host.env) as house, house.client() as client:
            record = await run(
                client, f"curl -sS {host.url}/v1/a; curl -sS -d x {host.url}/v1/a", network="reader"
            )
            told, _ = await output(client, record)
            assert told.startswith("hello")
            assert 'methods = ["POST"], paths = ["/v1/a"]' in told
            assert list(record.refused) == [where]
    assert [seen.method for seen in server.seen] == ["GET"]
