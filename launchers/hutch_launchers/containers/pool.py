"""Containers started ahead of need, each for one run, which then pays for dressing it and not for its start.

They are started in a thread of their own, as an engine takes a tenth of a second and more. With the daemon
they end by themselves: the guest of each ends when the daemon's end of its socket closes.
"""

import atexit
import logging
import select
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hutch_launchers.containers.container import Blank
from hutch_launchers.containers.engine import Container
from hutch_launchers.launcher import LauncherError

_log = logging.getLogger(__name__)
_pools: dict[Path, "Pool"] = {}


class Pool:
    """Started containers, all alike."""

    def __init__(self, container: Container, size: int, start: Callable[[], Blank]) -> None:
        self.container = container
        self._size, self._start = size, start
        self._blanks: deque[Blank] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warm")
        self._asked = 0  # for how many the thread has been asked; only the event loop's thread asks
        self._closing = threading.Event()

    def take(self) -> Blank | None:
        """One that lives, now the caller's; None: there is none at the moment. Asks for another."""
        try:
            while self._blanks:
                blank = self._blanks.popleft()
                if _lives(blank):
                    return blank
                blank.discard()
            return None
        finally:
            self.fill()

    def fill(self) -> None:
        """Have as many started as the pool shall hold."""
        while len(self._blanks) + self._asked < self._size and not self._closing.is_set():
            self._asked += 1
            self._thread.submit(self._add)

    def _add(self) -> None:
        try:
            if not self._closing.is_set():
                self._blanks.append(self._start())
        except (LauncherError, OSError) as error:
            _log.warning("no container could be started ahead of need: %s", error)
        finally:
            self._asked -= 1

    def close(self) -> None:
        """End all that nobody took. Waits for a start that is under way."""
        self._closing.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        while self._blanks:
            blank = self._blanks.popleft()
            blank.discard()


def find_pool(places: Path, container: Container, size: int, start: Callable[[], Blank]) -> Pool:
    """The pool of a method; one of containers that would be made otherwise by now is closed and replaced."""
    pool = _pools.get(places)
    if pool is None or pool.container != container:
        if pool is not None:
            threading.Thread(target=pool.close).start()
        pool = _pools[places] = Pool(container, size, start)
        pool.fill()
    return pool


def _lives(blank: Blank) -> bool:
    """Whether its guest has not hung up."""
    poll = select.poll()
    poll.register(blank.host, 0)  # the end of the other side is told all the same
    return not poll.poll(0)


@atexit.register
def close_pools() -> None:
    """End all that is warm, as at the end of the daemon."""
    while _pools:
        _pools.popitem()[1].close()
