"""The HTTP server: uvicorn as the daemon wants it."""

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from hutch.web.peer import PeerCheckedProtocol

_ANSWER_S = 2  # for open answers, once every run has ended


class Server(uvicorn.Server):
    """uvicorn, which leaves the signals to us: its own way of ending skips what must follow it."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


def http_config(app: ASGIApp) -> uvicorn.Config:
    """Return what it serves, and how."""
    return uvicorn.Config(
        app,
        http=PeerCheckedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_ANSWER_S,
    )
