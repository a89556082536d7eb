"""The method `account` has no network of its own: its doors are the host's, led to by the firewall."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.launcher_accounts import Accounts, accounts
from support.needs import need
from support.public_net import PublicNet
from support.ways_out import Sandboxes

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    need("root", os.geteuid() == 0, "accounts of the host", "run the tests as root")
    with accounts(tmp_path_factory.mktemp("accounts")) as made:
        yield made


SCRIPT = """
curl -sSk -m 60 https://api.example.org/hello; echo
curl -sS -m 60 http://api.example.org/hello; echo
curl -sSk -m 60 -x http://127.0.0.1:3128 https://a.cdn.example.org/hello; echo
curl -sSk -m 60 -x http://127.0.0.1:3128 https://evil.example.net/hello 2>&1 | grep -c 403
curl -sSk -m 60 https://a.cdn.example.org/hello 2>&1 | grep -c 'not resolve'
(exec 3<>/dev/tcp/1.1.1.1/443) 2>/dev/null || echo nowhere
"""


async def test_exact_doors_and_the_proxy_work_and_wildcards_by_the_proxy_alone(
    pool: Accounts, net: PublicNet, tmp_path: Path
) -> None:
    boxes = Sandboxes(pool.launcher, net, tmp_path)
    assert await boxes.shell(SCRIPT) == [
        "hello from api.example.org",
        "hello from api.example.org",
        "hello from a.cdn.example.org",
        *("1", "1", "nowhere"),
    ]
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=False).stdout
    assert ":3128 " not in listening
