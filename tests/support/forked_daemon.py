"""Daemons that start at once: forked from a process that has imported all that a daemon imports.

python -m support.forked_daemon: reads lines of JSON. {"log": FILE, "env": {…}} forks a process that is
`hutch serve` with that environment; the answer is its number. {"reap": NUMBER} answers how one ended.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import anyio

from support.forking import ask, serve

ROOT = Path(__file__).parents[2]


@dataclass
class ForkedDaemon:
    """One of them, as a test holds it; what `anyio.abc.Process` has under the same names."""

    server: "subprocess.Popen[str]"
    pid: int
    _pidfd: int = field(init=False)
    _code: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._pidfd = os.pidfd_open(self.pid)

    @property
    def returncode(self) -> int | None:
        """How it ended, if it has."""
        if self._code is None and select.select([self._pidfd], [], [], 0)[0]:
            self._code = ask(self.server, {"reap": self.pid})
        return self._code

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self._pidfd, number)

    async def wait(self) -> int:
        await anyio.wait_readable(self._pidfd)
        code = self.returncode
        assert code is not None
        return code

    async def aclose(self) -> None:
        os.close(self._pidfd)


def fork_daemon(env: Mapping[str, str], log: Path, python: Sequence[str]) -> ForkedDaemon:
    """`hutch serve` by `python`, with this environment; it appends what it says to `log`."""
    words = tuple(python) or (sys.executable,)
    server = _server(words, "" if words == (sys.executable,) else env.get("PYTHONPATH", ""))
    return ForkedDaemon(server, ask(server, {"env": dict(env), "log": str(log)}))


@cache
def _server(python: tuple[str, ...], import_paths: str) -> "subprocess.Popen[str]":
    """One for all tests of this process and each user; it ends with it, as nobody asks any more."""
    return subprocess.Popen(
        [*python, "-m", "support.forked_daemon"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": import_paths},
    )


def _be_daemon(question: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(ROOT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor, stands_for in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, stands_for)
    os.closerange(3, max(nothing, output) + 1)
    os.environ.clear()
    os.environ.update(question["env"])
    from hutch.cli import main

    code = main(["serve"])
    sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    import hutch.app
    import hutch.cli.daemon  # noqa: F401 - both: what is worth importing once

    serve(_be_daemon)
