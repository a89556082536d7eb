"""Servers that tests of several rooms use, each started once and only when a test asks for it.

And how tests are shared between processes, with `-n auto --dist loadgroup --no-loadscope-reorder`.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.azurite import PROGRAM, AzureServer, azurite, node
from support.ceph import S3Server, gateway, programs
from support.needs import need

# How long an example takes says more of what else this machine does than of what is tested
settings.register_profile("hutch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hutch")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a group follow one another in one process and share what they started. Slow ones go first."""
    groups = {item: _group(item) for item in items}
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: groups[item] not in slow)


def _group(item: pytest.Item) -> str:
    """A test's file; of the contract its column, which is dear to start."""
    folder = item.path.parent.name
    user = item.callspec.params.get("sandbox") if hasattr(item, "callspec") else None
    return f"{folder}/{user}" if user else f"{folder}/{item.path.stem}"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Ceph's RADOS gateway with an empty bucket."""
    need("s3", programs() is not None, "Ceph's RADOS gateway", "scripts/install-store-servers")
    with gateway(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """Azurite with an empty container."""
    need("azure", PROGRAM.exists() and node() is not None, "Azurite", "scripts/install-node-tools")
    with azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
