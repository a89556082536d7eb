"""Daemons that start at once: forked from a process that has imported all that a daemon imports.

python -m support.forked_daemon: reads lines of JSON. {"log": FILE, "output": FILE, "env": {…}, "words":
[…]} forks a process that is `hutch` with that environment and these words; the answer is its number. {"reap":
NUMBER} answers how one ended.
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


def fork_daemon(
    env: Mapping[str, str],
    log: Path,
    python: Sequence[str],
    arguments: Sequence[str] = ("serve",),
    output: Path | None = None,
) -> ForkedDaemon:
    """`hutch serve`, or `hutch` with other arguments, by `python`, with this environment.

    It appends what it says to `log`; what it prints to `output`, unless that is the same.
    """
    words = tuple(python) or (sys.executable,)
    server = _server(words, "" if words == (sys.executable,) else env.get("PYTHONPATH", ""))
    return ForkedDaemon(
        server,
        ask(
            server,
            {"env": dict(env), "log": str(log), "output": str(output or log), "words": list(arguments)},
        ),
    )


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
    output, log = (
        os.open(question[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for name in ("output", "log")
    )
    for descriptor, stands_for in ((nothing, 0), (output, 1), (log, 2)):
        os.dup2(descriptor, stands_for)
    os.closerange(3, max(nothing, output, log) + 1)
    os.environ.clear()
    os.environ.update(question["env"])
    from hutch.cli import main

    code = main(question["words"])
    sys.stderr.flush()
    sys.exit(code)


if __name__ == "__main__":
    import hutch.app
    import hutch.cli.daemon
    import hutch.runner.here  # noqa: F401 - all: what is worth importing once
    from hutch.egress.meter import read_prices

    read_prices()
    serve(_be_daemon)
