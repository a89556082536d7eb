"""Has a daemon there: starts one that outlives us, waits for it, and for its end."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import anyio
import httpx2

from hutch.config import Config, own_folder
from hutch.errors import HutchError

_LOG_BYTES = 8 << 20  # of daemons that were started here; what is longer makes place for a new one
_START_S = 60.0  # for a daemon to come up on a busy host with a slow disk; it takes well under one
_LEAVE_S = 60.0  # for every run to end in its grace and every volume to be committed
_BACK_S = 3.0  # for whoever ended it to start it anew
_POLL_S = 0.05
CONNECT_S = 5.0


class Reviving:
    """Has a daemon there for each call of a client that stays for days."""

    def __init__(self, config: Config, http: httpx2.AsyncClient) -> None:
        self._config = config
        self._http = http
        self._one_at_a_time = anyio.Lock()

    async def revive(self) -> None:
        """Start one where none lives, or comes back in a while. Raises HutchError `daemon_failed`."""
        async with self._one_at_a_time:
            with anyio.move_on_after(_BACK_S):
                while not await is_alive(self._http):  # noqa: ASYNC110 - nobody tells us
                    await anyio.sleep(_POLL_S)
                return
            if _is_free(self._config):
                await start_daemon(self._config, self._http)


async def start_daemon(config: Config, http: httpx2.AsyncClient) -> None:
    """Start one that outlives us, and return when it answers.

    Raises:
        HutchError: `daemon_failed`, `folder_unsafe`.
    """
    log = own_folder(config.daemon.state) / "daemon.log"
    print(f"starting the daemon (its log: {log})", file=sys.stderr)  # noqa: T201 - a sign of life
    daemon = _spawn(config, log)
    with anyio.move_on_after(_START_S):
        while daemon.poll() is None:
            if await is_alive(http):
                return
            await anyio.sleep(_POLL_S)
    raise HutchError("daemon_failed", f"the daemon did not come up: {_last_words(log)}", f"its log: {log}")


async def until_gone(config: Config) -> None:
    """Return when no daemon holds this state any more. Raises HutchError `daemon_failed` after a minute."""
    with anyio.move_on_after(_LEAVE_S):
        while not _is_free(config):  # noqa: ASYNC110 - the kernel tells nobody of a lock's end
            await anyio.sleep(_POLL_S)
        return
    raise HutchError("daemon_failed", "the daemon has not ended yet", f"see {config.daemon.state}/daemon.log")


def _is_free(config: Config) -> bool:
    """Whether no daemon lives."""
    with (config.daemon.state / "daemon.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


async def is_alive(http: httpx2.AsyncClient) -> bool:
    """Say whether a daemon answers."""
    try:
        return (await http.get("/health", timeout=CONNECT_S)).status_code == 200
    except httpx2.HTTPError:
        return False


def _last_words(log: Path) -> str:
    """Return the last error that a daemon wrote, which it says as a command line does."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
    return next((line for line in reversed(lines) if line.startswith("error: ")), "it says no reason")


def _spawn(config: Config, log: Path) -> "subprocess.Popen[bytes]":
    """Start a daemon that outlives us: no task group may own it."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "hutch", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=os.environ | ({"HUTCH_CONFIG": str(config.file)} if config.file else {}),
            start_new_session=True,
        )
