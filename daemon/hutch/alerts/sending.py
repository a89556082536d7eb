"""Sends alerts, one after the other, in the background: whoever notices something never waits for it."""

import json
import logging
import os
import signal
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from subprocess import DEVNULL

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from hutch.alerts.noticing import Notice, Notices
from hutch.config import Alert
from hutch.errors import unwrapped
from hutch.state import Connection, Run

WAITING = 100  # notices; what comes while so many wait is left out
PROGRAM_S = 30.0
WEBHOOK_S = 10.0
LAST_S = 5.0  # for what is still to be sent when the daemon ends

_PATH = "/usr/local/bin:/usr/bin:/bin"
# All that a program has of the daemon's environment, which may hold secrets
_DESKTOP = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")
_PASSED = ("HOME", "LANG", "USER", *_DESKTOP)

logger = logging.getLogger(__name__)
# It would log URLs, and whoever has a webhook's may use it
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Alerts:
    """Is shown what is stored; called in the event loop."""

    def __init__(self, alerts: Mapping[str, Alert], waiting: MemoryObjectSendStream[Notice]) -> None:
        self._wanted = {event for alert in alerts.values() for event in alert.on}
        self._waiting = waiting
        self._notices = Notices()

    def run(self, run: Run) -> None:
        """Take note of a run's record."""
        self._offer(self._notices.of_run(run))

    def connection(self, connection: Connection) -> None:
        """Take note of a connection, or its refusal."""
        self._offer(self._notices.of_connection(connection))

    def _offer(self, notices: Iterable[Notice]) -> None:
        for notice in notices:
            if notice.event not in self._wanted:
                continue
            try:
                self._waiting.send_nowait(notice)
            except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
                logger.warning("run=%s an alert is left out: %s", notice.run_id, notice.event)


@asynccontextmanager
async def alerting(alerts: Mapping[str, Alert]) -> AsyncGenerator[Alerts]:
    """Send what is noticed within the block."""
    sender, waiting = anyio.create_memory_object_stream[Notice](WAITING)
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send_all, alerts, waiting)
            try:
                yield Alerts(alerts, sender)
            finally:
                sender.close()
                tasks.cancel_scope.deadline = anyio.current_time() + LAST_S


async def _send_all(alerts: Mapping[str, Alert], waiting: MemoryObjectReceiveStream[Notice]) -> None:
    with waiting:
        async for notice in waiting:
            for name, alert in alerts.items():
                if notice.event in alert.on:
                    await _send(name, alert, notice)


async def _send(name: str, alert: Alert, notice: Notice) -> None:
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    said = {"alert": name, "at": at, **asdict(notice)}
    try:
        if alert.command:
            why = await _run(alert.command, json.dumps(said).encode())
        else:
            why = await _post(alert.webhook, said)
    except (OSError, httpx2.HTTPError, httpx2.InvalidURL, anyio.BrokenResourceError) as error:
        why = type(error).__name__  # not what it says: that could be the webhook's own secret
    if why:
        logger.warning("run=%s alert %s was not taken: %s", notice.run_id, name, why)
    else:
        logger.info("run=%s alert %s was sent: %s", notice.run_id, name, notice.event)


async def _post(url: str, said: object, within_s: float = WEBHOOK_S) -> str:
    """Return why it was not taken; empty: it was."""
    with anyio.move_on_after(within_s):  # for all of it; httpx2's bound is of each piece
        async with (
            httpx2.AsyncClient(timeout=within_s, follow_redirects=False) as client,
            client.stream("POST", url, json=said) as answer,  # what it says besides is not read
        ):
            return "" if answer.is_success else f"status {answer.status_code}"
    return f"no answer within {within_s:.0f} s"


async def _run(command: tuple[str, ...], said: bytes) -> str:
    """Have the program read `said`; return why it did not take it; empty: it did."""
    env = {"PATH": _PATH} | {name: os.environ[name] for name in _PASSED if name in os.environ}
    process = await anyio.open_process(
        command, stdout=DEVNULL, stderr=DEVNULL, env=env, cwd="/", start_new_session=True
    )
    try:
        with anyio.move_on_after(PROGRAM_S):
            assert process.stdin is not None
            with suppress(anyio.BrokenResourceError):  # it need not read
                await process.stdin.send(said)
            await process.stdin.aclose()
            code = await process.wait()
            return f"exit code {code}" if code else ""
        return f"it took more than {PROGRAM_S:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()
