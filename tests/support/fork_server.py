"""Processes that are there in a moment, to be killed: forked from one that has imported everything.

python -m support.fork_server: reads lines of JSON. {"start": [PROGRAM, …], "says": FILE} forks a process that
runs a program of support.volume_programs and appends what it says to FILE; the answer is its number. {"reap":
NUMBER} waits for its end; the answer is how it ended.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from support.forking import ask, serve

_LONG_S = 60


@dataclass
class Forked:
    """A process that was forked. It says something by whole lines."""

    server: "ForkServer"
    pid: int
    says: Path
    begin: int  # of what it says, in the file

    def said(self) -> list[list[str]]:
        """Its whole lines so far, in words."""
        text = self.says.read_bytes()[self.begin :].decode()
        return [line.split() for line in text.split("\n")[:-1]]

    async def until(self, holds: Callable[[list[list[str]]], bool]) -> None:
        """Wait until what it said suffices."""
        end = time.monotonic() + _LONG_S
        while not holds(self.said()):
            assert time.monotonic() < end, f"{self.says}: {self.said()[-5:]}"
            os.kill(self.pid, 0)
            await anyio.sleep(0.002)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def end(self) -> int:
        """Wait for its end; minus the signal's number, or its exit code."""
        self.server.left.discard(self.pid)
        return ask(self.server.process, {"reap": self.pid})


@dataclass
class ForkServer:
    """The side of the test."""

    process: subprocess.Popen[str]
    left: set[int] = field(default_factory=set)

    def start(self, says: Path, *argv: str) -> Forked:
        says.touch()
        begin = says.stat().st_size
        pid = ask(self.process, {"start": list(map(str, argv)), "says": str(says)})
        self.left.add(pid)
        return Forked(self, pid, says, begin)


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    """One for a test; what it forked ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.fork_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    made = ForkServer(process)
    try:
        yield made
    finally:
        for pid in made.left:  # none was reaped yet, so no number means another process by now
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def _run(question: dict[str, Any]) -> None:
    from support import volume_programs

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(os.open(question["says"], os.O_WRONLY | os.O_APPEND), 1)
    volume_programs.main(question["start"])


if __name__ == "__main__":
    from support import volume_programs  # noqa: F401 - everything that is worth importing once

    serve(_run)
