"""The cache of a real daemon keeps within its bound, and `doctor` tells how full it is."""

from pathlib import Path

import anyio
import pytest

from support.daemon import daemon, run
from support.streams import LONG_S

pytestmark = pytest.mark.slow


async def test_folders_of_volumes_leave_when_their_runs_have_ended(tmp_path: Path) -> None:
    async with daemon(tmp_path / "d", 'cache_max_bytes = "3MB"') as made, made.client() as client:
        for name in ("aa", "bb", "cc"):
            record = await run(client, "head -c 2000000 /dev/urandom > /data/a", volumes=[f"{name}:/data"])
            assert record.exit_code == 0
        with anyio.fail_after(LONG_S):
            while len(list((tmp_path / "d/cache/volumes").glob("*/*/tree"))) > 1:
                await anyio.sleep(0.05)
        cache = (await client.doctor())["cache"]
        assert (cache["folders"], cache["max_bytes"], cache["works"]) == (1, 3_000_000, True)
        assert 2_000_000 <= cache["used_bytes"] < 2_100_000
        record = await run(client, "wc -c < /data/a", volumes=["aa:/data"])  # it comes back from the store
        assert record.exit_code == 0
