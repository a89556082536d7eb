"""Keeps the deadlines of what runs when the daemon that set them has died. Standard library alone.

    python -I -S keeper.py FILE DESCRIPTOR

DESCRIPTOR, and then its input, have a line of JSON for each thing to be ended: {"id", "at" or "after",
"argv"}, or {"id"} alone for one that has ended. `at` is a time of CLOCK_BOOTTIME; `after` counts from the
daemon's death, which is the end of the input. From then on it starts each `argv` at its time. It goes when
nothing is left, or when another daemon has written FILE: that one has ended all that its predecessor left.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOOK_S = 0.5
_NAP_S = 0.1
_MOST = 1 << 20  # bytes; what the pipe holds


def main() -> None:
    """Read until the daemon is dead, then act for it."""
    file = Path(sys.argv[1])
    kept: dict[str, dict[str, object]] = {}
    with os.fdopen(int(sys.argv[2]), "rb") as known:
        lines = known.readlines()
    for line in itertools.chain(lines, _heard()):
        item = json.loads(line)
        if len(item) == 1:
            kept.pop(item["id"], None)
        else:
            kept[item["id"]] = item
    if kept:
        _act(kept, file)


def _heard() -> Iterator[bytes]:
    """The lines of the input, some at a time: to be woken for each would be a part of each run's cost."""
    rest = b""  # at the end: the daemon died in the middle of a word
    while data := os.read(sys.stdin.fileno(), _MOST):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        time.sleep(_NAP_S)


def _act(kept: dict[str, dict[str, object]], file: Path) -> None:
    died_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    before = _stamp(file)
    started: list[subprocess.Popen[bytes]] = []
    while kept and _stamp(file) == before:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for key, item in list(kept.items()):
            at = item["at"] if "at" in item else died_at + float(str(item["after"]))
            if now >= float(str(at)):
                del kept[key]
                argv = [str(word) for word in item["argv"]]  # type: ignore[attr-defined]
                with suppress(OSError):
                    started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd="/"))
        if kept:
            time.sleep(_LOOK_S)
    for process in started:
        process.wait()


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


if __name__ == "__main__":
    main()
