"""The store and the volumes in it, opened as the configuration says."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from hutch.config import Config
from hutch.runs.upkeep.housekeeping import quotas_of
from hutch.volumes import ProvenStore, StoreMemory, StoreOptions, Volumes, open_store, prepare_store


@asynccontextmanager
async def open_volumes(config: Config) -> AsyncGenerator[tuple[ProvenStore, Volumes]]:
    """Open them; makes the folders of this host that they need."""
    for folder in (config.daemon.state, config.daemon.cache):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with _open_store(config) as store:
        yield (
            store,
            Volumes(
                store,
                config.daemon.cache / "volumes",
                lease_ttl_s=config.storage.lease_s,
                cache_max_bytes=config.daemon.cache_max_bytes,
                quotas=quotas_of(config),
            ),
        )


def prepare(config: Config) -> None:
    """Have in memory what is needed to open them: whoever is forked from us has it too."""
    prepare_store(config.storage.url, _options(config))


def _open_store(config: Config) -> AbstractAsyncContextManager[ProvenStore]:
    memory = StoreMemory(
        roots=config.daemon.state / "stores.json", proofs=config.daemon.cache / "stores.json"
    )
    return open_store(config.storage.url, _options(config), memory)


def _options(config: Config) -> StoreOptions:
    said = config.storage
    return StoreOptions(
        endpoint_url=said.endpoint_url,
        region=said.region,
        addressing=said.addressing,
        account=said.account,
        credentials_env=said.credentials_env,
        credentials_file=said.credentials_file if said.credentials_file != Path() else None,
        profile=said.profile,
        connect_timeout_s=said.connect_timeout_s,
        timeout_s=said.timeout_s,
        retry_s=said.retry_s,
        max_requests=said.max_requests,
    )
