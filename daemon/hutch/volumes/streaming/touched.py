"""Paths of which something was heard, and when it is time to look at them."""

from collections.abc import Iterable

from hutch.volumes.folder.spots import database_of

QUIET_S = 0.1  # since the last word of a path: whoever writes it has probably finished
LONGEST_S = 1.5  # since the first: one that is written all the time is looked at all the same
_MOST = 50_000  # paths; beyond that, looking at everything is cheaper and bounds the memory
_MOST_BYTES = 8 << 20  # of paths, which an attacker may make long


class Touched:
    """Paths in the form that `spots_of` reads. Times are of one monotonic clock."""

    def __init__(self) -> None:
        self._times: dict[bytes, tuple[float, float]] = {}  # of a path or database: first and last heard
        self._delayed: dict[bytes, float] = {}  # not to be looked at before
        self._bytes = 0
        self.is_full = False  # so much was touched that everything is to be looked at

    def __len__(self) -> int:
        return len(self._times) + len(self._delayed)

    def note(self, paths: Iterable[bytes], now: float) -> None:
        """Something was heard of these."""
        for path in paths:
            key = _key(path)
            times = self._times.get(key)
            self._times[key] = (times[0] if times else now, now)
            self._bytes += 0 if times else len(key)
        self._bound()

    def delay(self, paths: Iterable[bytes], until: float) -> None:
        """Look at these later, whatever is heard."""
        for path in paths:
            key = _key(path)
            if key not in self._delayed:
                self._delayed[key] = until
                self._bytes += len(key)
        self._bound()

    def _bound(self) -> None:
        if len(self) > _MOST or self._bytes > _MOST_BYTES:
            self.take_all()
            self.is_full = True

    def take(self, now: float) -> list[bytes]:
        """Those that it is time for."""
        ripe = [key for key, (first, last) in self._times.items() if now >= _due(first, last)]
        for key in ripe:
            del self._times[key]
        waited = [key for key, until in self._delayed.items() if now >= until]
        for key in waited:
            del self._delayed[key]
        self._bytes -= sum(map(len, ripe)) + sum(map(len, waited))
        return ripe + waited

    def take_all(self) -> None:
        """Everything is about to be looked at."""
        self._times.clear()
        self._delayed.clear()
        self._bytes = 0
        self.is_full = False

    @property
    def due(self) -> float:
        """When it is time for the next one; never: infinity."""
        times = [_due(first, last) for first, last in self._times.values()]
        return min([*times, *self._delayed.values()], default=float("inf"))


def _due(first: float, last: float) -> float:
    return min(last + QUIET_S, first + LONGEST_S)


def _key(path: bytes) -> bytes:
    """A database and its journals are one thing: it is quiet when all of them are."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash + database_of(name)
