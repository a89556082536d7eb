"""What the tests' look for leftovers would find."""

import os
import subprocess
from pathlib import Path

import pytest

from support.left_behind import Traces
from support.namespaces import holders, namespaces_of


async def test_a_namespace_is_told_for_as_long_as_anything_holds_it(tmp_path: Path) -> None:
    word = f"4{os.getpid()}.5"
    own = ["unshare", "--mount", "--net", "--user", "sleep", word]
    with subprocess.Popen(own) as process:
        traces = Traces("none", tmp_path / "d", word)
        while not traces.namespaces - namespaces_of(os.getpid()):
            if process.poll() is not None:
                pytest.skip("no namespaces can be made here")
            traces.look()
            if not namespaces_of(os.getpid()):
                process.kill()
                pytest.skip("this kernel does not number namespaces")
        there = traces.namespaces - namespaces_of(os.getpid())
        assert any(f"/{process.pid}/" in path for path in holders(there))
        descriptor = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY)
        process.kill()
    try:
        assert [path for path in holders(there) if "/fd/" in path] == [f"/proc/{os.getpid()}/fd/{descriptor}"]
    finally:
        os.close(descriptor)
    assert await traces.left() == []
