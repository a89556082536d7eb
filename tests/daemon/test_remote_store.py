"""A daemon whose volumes are in a bucket: the same work on two hosts, and what `hutch doctor` says of it."""

import base64
import secrets
from pathlib import Path

import pytest

from hutch.client import Client
from hutch_mcp_tools.volume_records import ReadVolumeRequest
from support.azurite import AzureServer
from support.ceph import S3Server
from support.daemon import daemon, run
from support.daemon_stores import s3_config
from support.fault_proxy import fault_proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

AZURE = """
[storage]
url = "az://{container}/{prefix}"
endpoint_url = "{url}"
account = "{account}"
credentials_env = ["STORE_KEY"]
"""


async def content(client: Client, volume: str, path: str) -> bytes:
    answer = await client.read_volume(ReadVolumeRequest(volume=volume, path=path))
    assert answer.data_base64 is not None
    return base64.b64decode(answer.data_base64)


async def test_what_one_daemon_wrote_to_a_bucket_another_goes_on_with(
    s3_server: S3Server, tmp_path: Path
) -> None:
    config = s3_config(s3_server, tmp_path)
    async with daemon(tmp_path / "a", config) as one, one.client() as client:
        record = await run(client, "echo first > /data/log", volumes=["web:/data"])
        assert (record.exit_code, record.unsynced) == (0, {})
        storage = (await client.doctor())["storage"]
        assert (storage["works"], storage["volumes"]) == (True, 1)
    async with daemon(tmp_path / "b", config) as two, two.client() as client:
        await run(client, "echo second >> /data/log", volumes=["web:/data"])
        assert await content(client, "web", "/log") == b"first\nsecond\n"
        assert s3_server.secret_key not in two.log()


async def test_a_daemon_keeps_its_volumes_in_azure(azure_server: AzureServer, tmp_path: Path) -> None:
    config = AZURE.format(
        container=azure_server.container,
        prefix=f"test/{secrets.token_hex(8)}",
        url=azure_server.url,
        account=azure_server.account,
    )
    env = {"STORE_KEY": azure_server.key}
    async with daemon(tmp_path / "a", config, env=env) as made, made.client() as client:
        await run(client, "echo kept > /data/log", volumes=["web:/data"])
        assert await content(client, "web", "/log") == b"kept\n"
        assert (await client.doctor())["storage"]["works"]
    async with daemon(tmp_path / "b", config) as made, made.client() as client:
        storage = (await client.doctor())["storage"]
        assert not storage["works"]
        assert "store_credentials" in storage["reason"]
        assert "STORE_KEY" in storage["reason"]
        assert (await run(client, "true")).exit_code == 0


async def test_a_daemon_starts_while_its_store_is_away_and_finds_it_later(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async with fault_proxy(s3_server.url) as proxy:
        config = s3_config(s3_server, tmp_path, url=proxy.url)
        await proxy.stop()
        async with daemon(tmp_path / "a", config) as made, made.client() as client:
            assert (await run(client, "true")).exit_code == 0
            storage = (await client.doctor())["storage"]
            assert not storage["works"]
            assert storage["reason"].startswith("store_unavailable")
            assert storage["fix"]
            await proxy.start()
            await run(client, "echo kept > /data/log", volumes=["web:/data"])
            assert await content(client, "web", "/log") == b"kept\n"
            assert [check["name"] for check in (await client.doctor(fresh=True))["storage"]["checks"]] == [
                "store",
                "conditional writes",
                "clock",
                "latency",
            ]
