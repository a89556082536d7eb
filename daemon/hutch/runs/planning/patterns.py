"""Finds what is there by a path in which `*` stands for any text without a slash."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath


def found(base: Path, pattern: PurePath) -> Iterator[Path]:
    """Yield what is there now by `pattern`, a relative path, below the folder `base`.

    No other sign stands for anything, and none does in `base`.
    What the daemon may not look into it can show to no sandbox either: nothing is found there.
    """
    places = [base]
    for name in pattern.parts:
        places = [path for place in places for path in _named(place, name)]
    yield from places


def may_lie_in(folder: Path, pattern: PurePath) -> bool:
    """Whether `pattern`, an absolute path, can be of something below `folder`, there or not. Pure."""
    pairs = zip(folder.parts, pattern.parts, strict=False)
    return len(pattern.parts) > len(folder.parts) and all(_like(part).fullmatch(name) for name, part in pairs)


def _named(folder: Path, pattern: str) -> Iterator[Path]:
    if "*" not in pattern:
        if os.path.lexists(folder / pattern):
            yield folder / pattern
        return
    like = _like(pattern)
    with suppress(OSError), os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if like.fullmatch(entry.name))


def _like(pattern: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
