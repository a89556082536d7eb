"""What a process has ready for a store before it, or what is forked from it, opens one."""

from pathlib import Path

import anyio
import pytest

from hutch.egress.exchange.authority import Authority
from hutch.volumes import StoreOptions, prepare_store
from hutch.volumes.stores.s3 import _prepared, _trust, open_s3

_NOBODY = "http://127.0.0.1:1"


def test_preparing_for_a_store_asks_and_refuses_nothing() -> None:
    for options in (StoreOptions(endpoint_url=_NOBODY), StoreOptions(profile="none"), StoreOptions("no URL")):
        prepare_store("s3://bucket/prefix", options)


def test_a_prepared_client_is_used_once_and_not_after_its_credentials_changed(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    said = "[default]\naws_access_key_id = AK{}\naws_secret_access_key = none\n"
    options = StoreOptions(endpoint_url=_NOBODY, region="us-east-1", credentials_file=file)

    async def key_and_client() -> tuple[str, int]:
        async with open_s3("bucket", "", options) as store:
            client = store._client
            signs = await client._request_signer._credentials.get_frozen_credentials()
            return signs.access_key, id(client)

    file.write_text(said.format(1))
    prepare_store("s3://bucket", options)
    prepared = next(client for (asked, _), client in _prepared.items() if asked == options)
    assert anyio.run(key_and_client) == ("AK1", id(prepared))
    assert anyio.run(key_and_client) != ("AK1", id(prepared))
    prepare_store("s3://bucket", options)
    file.write_text(said.format(22))
    assert anyio.run(key_and_client)[0] == "AK22"


def test_authorities_are_read_when_it_is_prepared_and_not_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(Authority("test", ["localhost"]).certificate)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    options = StoreOptions(endpoint_url=_NOBODY, credentials_env=("KEY_OF_NOBODY", "SECRET_OF_NOBODY"))
    monkeypatch.setenv("KEY_OF_NOBODY", "none")
    monkeypatch.setenv("SECRET_OF_NOBODY", "none")
    prepare_store("s3://bucket", options)
    read = _trust.cache_info().misses

    async def session() -> None:
        async with open_s3("bucket", "", options) as store:
            store._client._endpoint.http_session._build_verify_context()

    anyio.run(session)
    assert _trust.cache_info().misses == read
