"""The daemon's side of the keeper: says what has which deadline, and what has ended."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio

from hutch.config import Method

logger = logging.getLogger(__name__)

_KEEPER = Path(__file__).with_name("keeper.py")
_PIPE_BYTES = 1 << 20  # what it may be behind: some thousand lines; the most that an ordinary user may have
_LEAVES_S = 5.0  # at the end of its input, with nothing to keep


class Deadlines:
    """Owns the keeper, which is started with the first deadline, and again if somebody ended it."""

    def __init__(self, methods: Mapping[str, Method], listens_at: Path) -> None:
        """`listens_at` is where the keeper hears `let_keeper_go`, when we are dead."""
        self._methods, self._listens_at = methods, listens_at
        self._lines: dict[str, bytes] = {}  # what is kept now, to be told to another keeper
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def held(
        self, key: str, method: str, target: str, *, in_s: float | None = None, after_s: float | None = None
    ) -> Generator[None]:
        """Have `target`, a run's or a session's id, ended if the daemon dies within the block.

        At the time that is `in_s` seconds from now, or `after_s` seconds after the daemon's death.
        """
        self.set(key, method, target, in_s=in_s, after_s=after_s)
        try:
            yield
        finally:
            self.drop(key)

    def set(
        self, key: str, method: str, target: str, *, in_s: float | None = None, after_s: float | None = None
    ) -> None:
        """As `held`; a key that is there already has another deadline from now on."""
        when = {"after": after_s} if in_s is None else {"at": time.clock_gettime(time.CLOCK_BOOTTIME) + in_s}
        self._lines[key] = _line(key, json.dumps({**when, "argv": self._argv(method, target)}))
        self._tell(self._lines[key])

    def drop(self, key: str) -> None:
        """It has ended."""
        if self._lines.pop(key, None) is not None:
            self._tell(_line(key))

    async def aclose(self) -> None:
        """Let the keeper go. What has not ended by now is left to it."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            if not self._lines:
                await self._left(self._process)
                self._listens_at.unlink(missing_ok=True)

    async def _left(self, keeper: subprocess.Popen[bytes]) -> None:
        end = os.pidfd_open(keeper.pid)
        try:
            with anyio.move_on_after(_LEAVES_S, shield=True):
                await anyio.wait_readable(end)
        finally:
            os.close(end)
        keeper.poll()

    def _argv(self, method: str, target: str) -> list[str]:
        made = self._methods[method]
        options = json.dumps({**made.options, "name": method}, default=str)
        return [sys.executable, "-P", "-m", "hutch.deadlines.end", made.kind, options, target]

    def _tell(self, line: bytes) -> None:
        if self._process is None:
            self._start()
        elif not self._write(line):
            logger.warning("the keeper of deadlines is gone, or does not listen; another is started")
            self._end()
            self._start()

    def _start(self) -> None:
        known = os.memfd_create("deadlines", os.MFD_CLOEXEC)  # a pipe may hold less
        told = _listening(self._listens_at)
        try:
            os.pwrite(known, b"".join(self._lines.values()), 0)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_KEEPER), str(self._listens_at), str(told), str(known)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                pass_fds=(known, told),
                start_new_session=True,  # what ends the daemon from a terminal is not to end it
            )
        finally:
            os.close(known)
            os.close(told)
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        os.set_blocking(pipe, False)
        with suppress(OSError):  # the user's pipes have much already
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()

    def _write(self, line: bytes) -> bool:
        """Whether the keeper has it; a line goes whole or not at all (pipe(7), PIPE_BUF)."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            return os.write(self._process.stdin.fileno(), line) == len(line)
        except OSError:
            return False


def let_keeper_go(listens_at: Path) -> None:
    """Tell the keeper of a process that is dead, if there is one, that all it keeps has been ended.

    It hears of it though the pipe is taken away at once.
    """
    try:
        pipe = os.open(listens_at, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # there never was one, or it has gone
        return
    with suppress(OSError):
        os.write(pipe, b".")
    os.close(pipe)


def _listening(listens_at: Path) -> int:
    """Make a pipe with a name, and return it open, for the keeper to have before it begins."""
    listens_at.unlink(missing_ok=True)
    os.mkfifo(listens_at, 0o600)
    # To write as well: what was written by somebody who has gone since is no end
    return os.open(listens_at, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _environment() -> dict[str, str]:
    """Of the keeper and what it starts: they find our modules where we found them."""
    found = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**found, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _line(key: str, item: str = "") -> bytes:
    return f"{key} {item}".rstrip().encode() + b"\n"
