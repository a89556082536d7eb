"""The engine's tests run on every kind of store, unless a module has a `store` of its own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hutch.volumes import ObjectStore
from support.stores import EVERY, fresh_store


@pytest.fixture(params=EVERY)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ObjectStore]:
    """An empty store of each kind."""
    async with fresh_store(request.param, request, tmp_path) as store:
        yield store
