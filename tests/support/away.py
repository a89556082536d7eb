"""A store that is away for one volume, and comes back."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.daemon import Daemon


@contextmanager
def away(made: Daemon, volume: str) -> Iterator[None]:
    """Nothing can be read of the volume's log, nor written to it: a file stands where its folder was."""
    (log,) = (made.folder / "state/store/volumes/default" / volume).glob("*/log")
    aside = log.with_name("log-aside")
    log.rename(aside)
    log.write_text("")
    try:
        yield
    finally:
        log.unlink()
        aside.rename(log)
