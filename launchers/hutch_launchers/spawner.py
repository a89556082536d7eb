"""Starts children inside version 1 control groups without a wait for the whole system.

To move a *process* into a group the kernel stops all forks and waits for a grace period, 20 ms where it was
idle. To move the calling *thread* it does not have to. So one thread goes into the groups, starts the child,
which is born there, and comes back.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TypeVar

from hutch_launchers.launcher import LauncherError

T = TypeVar("T")


class Spawner:
    """One thread, which outlives all that it starts: to bubblewrap's --die-with-parent it is the parent."""

    def __init__(self, prepare: Callable[[], None] = lambda: None) -> None:
        """`prepare` is run in the thread before each start; what it raises is raised there."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")
        self._prepare = prepare

    def run(self, start: Callable[[], T], groups: Mapping[Path, Path] | None = None) -> T:
        """Run `start` while the thread is in the control groups `groups` (group -> the one to come back to).

        Blocks, about as long as `start`. Raises what it raises, and LauncherError for a group that cannot be
        joined.
        """
        groups = groups or {}
        with ExitStack() as opened:  # by the caller: the thread may see no control groups
            tasks = {group: _open(group) for group in groups}
            for fd in tasks.values():
                opened.callback(os.close, fd)
            homes = {home: _open_home(home) for home in groups.values()}

            def inside() -> T:
                self._prepare()
                try:
                    for group, fd in tasks.items():
                        _enter(group, fd)
                    return start()
                finally:
                    for home, fd in homes.items():
                        _enter(home, fd)

            return self._thread.submit(inside).result()


PLAIN = Spawner()


def _enter(group: Path, tasks: int) -> None:
    try:
        os.write(tasks, b"0")
    except OSError as error:
        raise _not_joined(group, error) from error


def _open(group: Path) -> int:
    try:
        return os.open(f"{group}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _not_joined(group, error) from error


@cache
def _open_home(home: Path) -> int:
    """Open for good: there are as many as controllers."""
    return _open(home)


def _not_joined(group: Path, error: OSError) -> LauncherError:
    return LauncherError("sandbox_failed", f"the control group {group} cannot be joined: {error}")
