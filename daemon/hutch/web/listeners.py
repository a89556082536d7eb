"""The daemon's sockets: loopback TCP, a unix socket of mode 0600, or those that systemd passes on."""

import errno
import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hutch.config import Address, Config, Daemon
from hutch.errors import HutchError

logger = logging.getLogger(__name__)

_BACKLOG = 512
_FIRST_PASSED_FD = 3  # sd_listen_fds(3)


@contextmanager
def listeners(config: Config) -> Generator[list[socket.socket]]:
    """Bind the configured sockets for the length of the block; the unix socket's file goes with it.

    Raises:
        HutchError: `listen_refused` for an address that others reach, `listen_failed`, `daemon_running`.
    """
    if passed := _passed_by_systemd():
        try:
            yield passed
        finally:
            _close(passed)
        return
    opened: list[socket.socket] = []
    try:
        opened.append(_tcp(config))
        opened.append(_unix(config.daemon.socket))
        yield opened
    finally:
        _close(opened)
        if len(opened) > 1:
            config.daemon.socket.unlink(missing_ok=True)


def url_of(sockets: list[socket.socket]) -> str | None:
    """Return the base URL of the TCP socket; None: there is none."""
    for listening in sockets:
        if listening.family == socket.AF_INET:
            return "http://{}:{}".format(*listening.getsockname())
        if listening.family == socket.AF_INET6:
            host, port, *_ = listening.getsockname()
            return f"http://[{host}]:{port}"
    return None


def _tcp(config: Config) -> socket.socket:
    address = config.daemon.listen
    if not address.is_loopback and not config.daemon.allow_remote:
        raise HutchError(
            "listen_refused",
            f"{address} can be reached from other machines",
            "listen on 127.0.0.1, or set daemon.allow_remote = true if you mean it",
        )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off: without, every answer waits 40 ms
    tcp = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address.host, address.port))
        tcp.listen(_BACKLOG)
    except OSError as error:
        tcp.close()
        if error.errno == errno.EADDRINUSE and address == Daemon().listen:
            # Nobody asked for this port, and on a shared machine another user's daemon has it
            logger.warning("%s is in use; listening on a port of the system's choice", address)
            return _tcp(replace(config, daemon=replace(config.daemon, listen=Address(address.host, 0))))
        hint = "another daemon may run; choose another port in daemon.listen, or 0 for any"
        raise HutchError("listen_failed", f"cannot listen on {address}: {error.strerror}", hint) from error
    return tcp


def _unix(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_stale(path)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode is in force from the first instant only by the umask; nothing else runs yet at start-up
    before = os.umask(0o177)
    try:
        unix.bind(str(path))
        unix.listen(_BACKLOG)
    except OSError as error:
        unix.close()
        raise HutchError("listen_failed", f"cannot listen on {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    return unix


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        code = trial.connect_ex(str(path))
    if code == 0:
        raise HutchError("daemon_running", f"a daemon answers at {path} already", "stop it first")
    if code == errno.ECONNREFUSED and path.is_socket():
        path.unlink()


def _passed_by_systemd() -> list[socket.socket]:
    """Take the sockets of socket activation: sd_listen_fds(3)."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    passed = [socket.socket(fileno=_FIRST_PASSED_FD + n) for n in range(count)]
    for one in passed:
        one.set_inheritable(False)
    return passed


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()
