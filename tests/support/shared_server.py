"""A server that all processes of one run of the tests share: the first that asks starts it."""

import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
_TRIES = 3


@contextmanager
def shared_server(
    name: str,
    kind: type[T],
    start: Callable[[Path], AbstractContextManager[T]],
    folders: pytest.TempPathFactory,
) -> Iterator[T]:
    """Where the server is that `start` makes in an empty folder, told by a flat record of `kind`."""
    base = folders.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    told = place / f"{name}.json"
    with (place / f"{name}.users").open("w") as users, ExitStack() as own:
        with _alone(place / f"{name}.lock"):
            if told.exists():
                made = kind(**json.loads(told.read_text()))
            else:
                made = own.enter_context(_started(name, start, folders))
                told.write_text(json.dumps(asdict(made)))
                own.callback(fcntl.flock, users, fcntl.LOCK_EX)  # until nobody uses it any more
                own.callback(told.unlink)  # who asks from now on starts another
            fcntl.flock(users, fcntl.LOCK_SH)
        yield made
        fcntl.flock(users, fcntl.LOCK_UN)


@contextmanager
def _started(
    name: str, start: Callable[[Path], AbstractContextManager[T]], folders: pytest.TempPathFactory
) -> Iterator[T]:
    """The server, tried anew in a folder of its own where a busy machine or a taken port kept it down."""
    for tries_left in reversed(range(_TRIES)):
        with ExitStack() as running:
            try:
                made = running.enter_context(start(folders.mktemp(name)))
            except (AssertionError, subprocess.TimeoutExpired):
                if not tries_left:
                    raise
                continue
            yield made
            return


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
