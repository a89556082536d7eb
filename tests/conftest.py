"""Servers that tests of several rooms use, each started once and only when a test asks for it.

And how tests are shared between processes, with `-n auto --dist loadgroup --no-loadscope-reorder`.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from support.azurite import PROGRAM, AzureServer, azurite, node
from support.ceph import S3Server, gateway, programs
from support.needs import need
from support.shared_probes import PROBES
from support.shared_server import shared_server

# How long an example takes says more of what else this machine does than of what is tested
settings.register_profile("hutch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hutch")


def pytest_configure() -> None:
    assert PROBES.is_dir()  # imported here, so that the processes that are started from this one share it


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a group follow one another in one process and share what they started. Slow ones go first."""
    groups = {item: _group(item) for item in items}
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: groups[item] not in slow)


def _group(item: pytest.Item) -> str:
    """A test's file, or of one that says so a column of it; of the contract a column of several files."""
    folder = item.path.parent.name
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if "sandbox" in params:  # dear to start
        return f"{folder}/{params['sandbox']}"
    apart = item.get_closest_marker("apart")
    columns = [params[name] for name in apart.args if name in params] if apart else []
    return "/".join([folder, item.path.stem, *(str(getattr(value, "name", value)) for value in columns)])


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Ceph's RADOS gateway with a bucket, in which a test takes a prefix of its own."""
    need("s3", programs() is not None, "Ceph's RADOS gateway", "scripts/install-store-servers")
    with shared_server("ceph", S3Server, gateway, tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """Azurite with a container, in which a test takes a prefix of its own."""
    need("azure", PROGRAM.exists() and node() is not None, "Azurite", "scripts/install-node-tools")
    with shared_server("azurite", AzureServer, azurite, tmp_path_factory) as server:
        yield server
