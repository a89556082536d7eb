"""Starts children inside version 1 control groups without a wait for the whole system.

To move a *process* into a group the kernel stops all forks and waits for a grace period, 20 ms where it was
idle. To move the calling *thread* it does not have to. So one thread goes into the groups, starts the child,
which is born there, and comes back.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from hutch_launchers.launcher import LauncherError

T = TypeVar("T")

# The one thread must outlive all that it started: to bubblewrap's --die-with-parent the thread is the parent.
_thread = ThreadPoolExecutor(1, thread_name_prefix="spawner")


def spawn_in(groups: Mapping[Path, Path], start: Callable[[], T]) -> T:
    """Run `start` while its thread is in the control groups `groups` (group -> the one to come back to).

    Blocks, about as long as `start`. Raises what `start` raises, and LauncherError for a group that cannot
    be joined.
    """

    def inside() -> T:
        try:
            for group in groups:
                _join(group)
            return start()
        finally:
            for home in groups.values():
                _come_back(home)

    return _thread.submit(inside).result()


def _join(group: Path) -> None:
    try:
        tasks = _open(group)
        try:
            os.write(tasks, b"0")
        finally:
            os.close(tasks)
    except OSError as error:
        raise _not_joined(group, error) from error


def _come_back(home: Path) -> None:
    try:
        os.write(_open_home(home), b"0")
    except OSError as error:
        raise _not_joined(home, error) from error


def _open(group: Path) -> int:
    return os.open(f"{group}/tasks", os.O_WRONLY | os.O_CLOEXEC)


@cache
def _open_home(home: Path) -> int:
    """Open for good: there are as many as controllers."""
    return _open(home)


def _not_joined(group: Path, error: OSError) -> LauncherError:
    return LauncherError("sandbox_failed", f"the control group {group} cannot be joined: {error}")
