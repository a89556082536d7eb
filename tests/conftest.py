"""Servers that tests of several rooms use, each started once and only when a test asks for it.

And how tests are shared between processes, with `--dist loadgroup --no-loadscope-reorder`.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

from support.azurite import PROGRAM, AzureServer, azurite, node
from support.ceph import S3Server, gateway, programs
from support.needs import need
from support.shared_probes import PROBES
from support.shared_server import shared_server

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# How long an example takes says more of what else this machine does than of what is tested. CI tries the same
# ones each time: what chance finds is for whoever changes something
settings.register_profile(
    "hutch",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("hutch")


def pytest_configure() -> None:
    assert PROBES.is_dir()  # imported here, so that the processes that are started from this one share it
    # A shell's background job ignores it, and so would all that tests start
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of a group follow one another in one process and share what they started. Slow ones go first."""
    groups = {item: _group(item) for item in items}
    slow = {groups[item] for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: groups[item] not in slow)
    if getattr(config.option, "loadgroup", False):
        for item, group in groups.items():
            # What xdist's scheduler reads; its own mark does nothing with pytest 9.2 (its issue 1386)
            item._id = NodeId.parse(f"{item.nodeid}@{group}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: "WorkerController", ids: Sequence[str]) -> None:
    """An update that stops the grouping again shall not go unseen: no test fails, all are only slow."""
    if node.config.option.dist == "loadgroup":
        assert all(name.rfind("@") > name.rfind("]") for name in ids), "the tests are not grouped"


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
