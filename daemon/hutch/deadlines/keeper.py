"""Keeps the deadlines of what runs when the daemon that set them has died. Standard library alone.

    python -I -S keeper.py PIPE TOLD KNOWN

The descriptor KNOWN, and then its input, have a line of JSON for each thing to be ended: {"id", "at" or
"after", "argv"}, or {"id"} alone for one that has ended. `at` is a time of CLOCK_BOOTTIME; `after` counts
from the daemon's death, which is the end of the input. From then on it starts each `argv` at its time. It
goes when nothing is left, or when somebody has written to PIPE, which it has open as the descriptor TOLD:
that one has ended all that is kept here.
"""

import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

_LOOK_MS = 500  # a time to wait for does not go on while the host sleeps, and deadlines do
_NAP_MS = 100
_MOST = 1 << 20  # bytes; what the pipe holds


def main() -> None:
    """Read until the daemon is dead, then act for it."""
    told = int(sys.argv[2])
    kept: dict[str, dict[str, object]] = {}
    with os.fdopen(int(sys.argv[3]), "rb") as known:
        lines = known.readlines()
    for line in itertools.chain(lines, _heard()):
        item = json.loads(line)
        if len(item) == 1:
            kept.pop(item["id"], None)
        else:
            kept[item["id"]] = item
    if kept:
        _act(kept, told)


def _heard() -> Iterator[bytes]:
    """The lines of the input, some at a time: to be woken for each would be a part of each run's cost."""
    over = select.poll()
    over.register(sys.stdin, 0)  # which wakes at the end of the input, and not for a line
    rest = b""  # at the end: the daemon died in the middle of a word
    while data := os.read(sys.stdin.fileno(), _MOST):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        over.poll(_NAP_MS)


def _act(kept: dict[str, dict[str, object]], told: int) -> None:
    died_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    started: list[subprocess.Popen[bytes]] = []
    word = select.poll()
    word.register(told, select.POLLIN)
    while kept and not word.poll(0):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for key, item in list(kept.items()):
            at = item["at"] if "at" in item else died_at + float(str(item["after"]))
            if now >= float(str(at)):
                del kept[key]
                argv = [str(word) for word in item["argv"]]  # type: ignore[attr-defined]
                with suppress(OSError):
                    started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd="/"))
        if kept:
            word.poll(_LOOK_MS)
    for process in started:
        process.wait()


if __name__ == "__main__":
    main()
