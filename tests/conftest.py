"""Servers that tests of several rooms use, each started once and only when a test asks for it."""

from collections.abc import Iterator

import pytest

from support.azurite import PROGRAM, AzureServer, azurite, node
from support.ceph import S3Server, gateway, programs
from support.needs import need


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
