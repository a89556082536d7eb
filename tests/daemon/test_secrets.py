"""Secrets in real sandboxes: used there by real clients, and there to be found nowhere."""

from pathlib import Path

import pytest

from hutch_mcp_tools.service import ServiceError
from support.daemon import daemon, output, run
from support.secret_host import PLANTED, secret_host

pytestmark = pytest.mark.slow


async def test_a_command_uses_a_secret_that_it_never_has(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        command = f'curl -sS -H "x-api-key: $KEY" {host.url}/v1; echo; echo $KEY; env'
        record = await run(client, command, network="near", secrets=["key"])
        told, wrong = await output(client, record)
        assert (record.exit_code, told[:5]) == (0, "hello"), (told, wrong, house.log())
        assert "hutch" in told
        assert PLANTED not in told
        assert host.server.seen[0].headers["x-api-key"] == PLANTED
        assert f"key: header x-api-key at localhost:{host.port}" in record.model_dump_json()
        assert PLANTED not in house.log()


async def test_a_secret_is_granted_by_name_and_of_use_only_where_its_host_is_reached(tmp_path: Path) -> None:
    async with (
        secret_host(tmp_path) as host,
        daemon(tmp_path / "d", host.config(), env=host.env) as house,
        house.client() as client,
    ):
        cases = {
            "openai": "secret_denied",
            "none": "secret_denied",
            "key:env": "secret_denied",
            "key": "secret_unreachable",
        }
        for name, code in cases.items():
            with pytest.raises(ServiceError) as refused:
                await run(client, "true", secrets=[name])
            assert refused.value.code == code
