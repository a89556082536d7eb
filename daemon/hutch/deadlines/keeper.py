"""Keeps the deadlines of what runs when the daemon that set them has died. Standard library alone.

    python -I -S keeper.py PIPE TOLD KNOWN

The descriptor KNOWN, and then its input, have a line for each thing to be ended: its id, a space, and as JSON
{"at" or "after", "argv"}; the id alone for one that has ended. `at` is a time of CLOCK_BOOTTIME; `after`
counts from the daemon's death, which is the end of the input. From then on it starts each `argv` at its time.
It goes when nothing is left, or when somebody has written to PIPE, which it has open as the descriptor TOLD:
that one has ended all that is kept here.

There is one beside each turn of an agent, and nearly all end with nothing to do: what only an act needs is
imported by it, or every start would take three times as long.
"""

import os
import select
import sys
import time

_LOOK_MS = 500  # a time to wait for does not go on while the host sleeps, and deadlines do
_NAP_MS = 100
_MOST = 1 << 20  # bytes; what the pipe holds


def main() -> None:
    """Read until the daemon is dead, then act for it."""
    told = int(sys.argv[2])
    kept: dict[bytes, bytes] = {}
    with os.fdopen(int(sys.argv[3]), "rb") as known:
        _note(kept, known.read().split(b"\n"))
    _listen(kept)
    if kept:
        _act(kept, told)


def _note(kept: dict[bytes, bytes], lines: list[bytes]) -> None:
    for line in lines:
        key, _, item = line.partition(b" ")
        if item:
            kept[key] = item
        else:
            kept.pop(key, None)


def _listen(kept: dict[bytes, bytes]) -> None:
    """Read the input, some lines at a time: to be woken for each would be a part of each run's cost."""
    over = select.poll()
    over.register(sys.stdin, 0)  # which wakes at the end of the input, and not for a line
    rest = b""  # at the end: the daemon died in the middle of a word
    while data := os.read(sys.stdin.fileno(), _MOST):
        *lines, rest = (rest + data).split(b"\n")
        _note(kept, lines)
        over.poll(_NAP_MS)


def _act(kept: dict[bytes, bytes], told: int) -> None:
    import json
    import subprocess

    died_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    waiting = [json.loads(item) for item in kept.values()]
    started: list[subprocess.Popen[bytes]] = []
    word = select.poll()
    word.register(told, select.POLLIN)
    while waiting and not word.poll(0):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for item in [each for each in waiting if now >= _time(each, died_at)]:
            waiting.remove(item)
            try:
                started.append(subprocess.Popen(item["argv"], stdin=subprocess.DEVNULL, cwd="/"))
            except OSError:
                continue
        if waiting:
            word.poll(_LOOK_MS)
    for process in started:
        process.wait()


def _time(item: dict[str, float], died_at: float) -> float:
    return item["at"] if "at" in item else died_at + item["after"]


if __name__ == "__main__":
    main()
