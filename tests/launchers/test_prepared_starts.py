"""What a start looks at of the host can be looked at before it, and is not looked at twice."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from hutch_launchers.methods.bubblewrap import launcher as module
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher


def test_whoever_comes_while_another_looks_takes_what_that_one_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_S", math.inf)
    method = BubblewrapLauncher("looked-at-once")
    before = module._look.cache_info().misses
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(method.look_ahead) for _ in range(4)]:
            done.result()
    assert module._look.cache_info().misses == before + 1
