"""The engine's tests run on every kind of store, unless a module has a `store` of its own."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from hutch.volumes import ObjectStore, Volumes
from support.stores import EVERY, REMOTE, AgeingStore, fresh_store
from support.volume_engine import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=EVERY)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[ObjectStore]:
    """An empty store of each kind."""
    async with fresh_store(request.param, request, tmp_path) as store:
        yield store


@pytest.fixture(params=("memory", *REMOTE))
async def ageing_store(
    request: pytest.FixtureRequest, clock: HandClock, tmp_path: Path
) -> AsyncGenerator[ObjectStore]:
    """An empty store of each kind that has a clock of its own; it goes with ours."""
    async with fresh_store(request.param, request, tmp_path) as store:
        yield AgeingStore(store, clock)


@pytest.fixture
def volumes(store: ObjectStore, tmp_path: Path, clock: HandClock) -> Volumes:
    """A host on the store of the test."""
    return Volumes(store, tmp_path / "cache", clock=clock)
