"""What is wrong with a store is said with what mends it, and only the credentials that are named are used."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import ProvenStore, StoreOptions, examine_store, open_store
from support.ceph import S3Server
from support.stores import memory, refusal, s3_store


@pytest.mark.parametrize(
    ("bucket", "secret", "url", "code", "check"),
    [
        ("hutch", "wrong", "", "store_credentials", "credentials"),
        ("hutch", "", "", "store_credentials", "credentials"),
        ("no-such-bucket", "right", "", "store_bucket_missing", "store"),
        ("hutch", "right", "http://127.0.0.1:1", "store_unavailable", "endpoint"),
    ],
)
async def test_what_is_wrong_is_said_with_what_mends_it(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    secret: str,
    url: str,
    code: str,
    check: str,
) -> None:
    monkeypatch.setenv("STORE_KEY", s3_server.access_key)
    monkeypatch.setenv("STORE_SECRET", s3_server.secret_key if secret == "right" else secret)
    options = StoreOptions(
        endpoint_url=url or s3_server.url,
        region="us-east-1",
        credentials_env=("STORE_KEY", "STORE_SECRET"),
        retry_s=0.1,
    )
    async with open_store(f"s3://{bucket}/{code}", options, memory(tmp_path)) as store:
        assert await refusal(store) == code
        (found,) = await examine_store(store, fresh=False)
    assert (found.name, found.works) == (check, False)
    assert found.detail.startswith(code)
    assert found.fix
    assert secret == "" or s3_server.secret_key not in found.detail


async def test_a_clock_that_is_wrong_by_an_hour_is_told(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*, remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) + timedelta(hours=1)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr("botocore.auth.get_current_datetime", late)
    async with s3_store(s3_server) as plain:
        store = ProvenStore(plain, "s3", memory(tmp_path), None)
        assert await refusal(store) == "store_clock_skew"
        (found,) = await examine_store(store, fresh=False)
    assert (found.name, found.works) == ("clock", False)


async def test_what_the_bucket_s_policy_denies_is_told(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server, prefix="denied") as plain:
        assert await refusal(ProvenStore(plain, "s3", memory(tmp_path), None)) == "store_forbidden"


async def test_a_store_in_order_says_how_it_is(s3_server: S3Server, tmp_path: Path) -> None:
    async with s3_store(s3_server) as plain:
        checks = await examine_store(ProvenStore(plain, "s3", memory(tmp_path), None), fresh=False)
    assert [(check.name, check.works) for check in checks] == [
        ("store", True),
        ("conditional writes", True),
        ("clock", True),
        ("latency", True),
    ]
    assert "ms" in checks[-1].detail


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "s3://", "s3://bucket/../x", "s3://bucket?a", "file://host/x"]
)
async def test_a_url_that_is_no_store_s_is_refused(tmp_path: Path, url: str) -> None:
    async with open_store(url, StoreOptions(), memory(tmp_path)) as store:
        assert await refusal(store) in ("store_url_invalid", "store_unavailable")


async def opens(url: str, options: StoreOptions, folder: Path) -> str:
    """The code of what is wrong, "" if nothing."""
    async with open_store(url, options, memory(folder)) as store:
        try:
            await store.prove()
        except HutchError as error:
            return error.code if error.hint else "without a hint"
        return ""


async def test_credentials_that_are_named_are_those_that_are_used(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "meant-for")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something else")
    url, at = f"s3://{s3_server.bucket}/named/{secrets.token_hex(8)}", s3_server.url
    keys = f"aws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    file = tmp_path / "keys"
    file.write_text(f"[default]\n{keys}[other]\naws_access_key_id = a\naws_secret_access_key = b\n")
    named = StoreOptions(endpoint_url=at, region="us-east-1", credentials_file=file)
    assert await opens(url, named, tmp_path) == ""
    assert await opens(url, replace(named, profile="other"), tmp_path) == "store_credentials"
    assert await opens(url, replace(named, profile="none"), tmp_path) == "store_credentials"
    by_chain = replace(named, credentials_file=None)
    assert await opens(url, by_chain, tmp_path) == "store_credentials"
    assert await opens(url, replace(by_chain, credentials_env=("HOME",)), tmp_path) == "store_credentials"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    assert await opens(url, by_chain, tmp_path) == ""


@pytest.mark.parametrize("url", ["s3://bucket", "az://container", "gs://bucket"])
async def test_a_file_of_credentials_that_is_not_there_is_no_reason_to_take_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_TOKEN", "GOOGLE_BEARER_TOKEN"):
        monkeypatch.setenv(name, "meant for something else")
    options = StoreOptions(account="a", credentials_file=tmp_path / "keys")
    assert await opens(url, options, tmp_path) == "store_credentials"
    (tmp_path / "keys").write_text("\n")
    assert await opens(url, options, tmp_path) == "store_credentials"
