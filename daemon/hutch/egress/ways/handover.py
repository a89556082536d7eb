"""How the sockets that wait inside a sandbox come to us: by descriptor, over a unix socket of the host."""

import array
import logging
import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from anyio import wait_readable

from hutch.egress.sockets import accept
from hutch.errors import HutchError
from hutch_launchers.spec import Listener

SERVED = b"\x01"  # what is answered once every socket is served

_log = logging.getLogger(__name__)
_INDEX = struct.Struct(">I")
_PEER = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7))
_ROOM = 8  # descriptors a message may bring: one is right, the others are received to be closed
_MAX_PATH = 107  # bytes, of sun_path


class HandoverError(Exception):
    """A launcher that does not keep to the protocol."""


def listen(path: Path) -> socket.socket:
    """Bind the socket that a launcher comes to, for our own user alone. Raises HutchError `egress_failed`."""
    if len(os.fsencode(path)) > _MAX_PATH:
        raise HutchError(
            "egress_failed",
            f"the path of a socket is too long: '{path}'",
            "set daemon.socket to a shorter path, as in /run/user/1000/hutch/hutch.sock",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise HutchError("egress_failed", f"'{path}' cannot be bound: {error.strerror}") from error
    return listener


async def receive_listeners(listener: socket.socket, wanted: Sequence[Listener]) -> list[socket.socket]:
    """Wait for a launcher to bring every socket that is wanted; return them in this order.

    It has been answered when this returns. Whoever does not keep to the protocol is hung up on without an
    answer, and the next one is waited for.
    """
    while True:
        with await accept(listener) as launcher:
            brought: dict[int, socket.socket] = {}
            try:
                _check_peer(launcher)
                while len(brought) < len(wanted):
                    await _take_one(launcher, wanted, brought)
                launcher.send(SERVED)
            except (HandoverError, OSError) as error:
                _log.warning("egress: a handover of sockets was refused: %s", error)
            except BaseException:
                _close(brought)
                raise
            else:
                return [brought[index] for index in range(len(wanted))]
            _close(brought)


async def _take_one(
    launcher: socket.socket, wanted: Sequence[Listener], brought: dict[int, socket.socket]
) -> None:
    """Receive one message, an index and its socket; the kernel never joins two that bring descriptors."""
    await wait_readable(launcher)
    fds = array.array("i")
    data, ancillary, flags, _ = launcher.recvmsg(
        _INDEX.size, socket.CMSG_SPACE(_ROOM * fds.itemsize), socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
    )
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if len(data) != _INDEX.size or len(fds) != 1 or flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise HandoverError(f"a message of {len(data)} bytes with {len(fds)} descriptors")
    sock = socket.socket(fileno=fds[0])
    try:
        index = _checked(_INDEX.unpack(data)[0], sock, wanted, brought)
    except BaseException:
        sock.close()
        raise
    brought[index] = sock


def _checked(
    index: int, sock: socket.socket, wanted: Sequence[Listener], brought: dict[int, socket.socket]
) -> int:
    if index >= len(wanted) or index in brought:
        raise HandoverError(f"socket {index} of {len(wanted)}, or for the second time")
    each = wanted[index]
    kind = socket.SOCK_DGRAM if each.is_udp else socket.SOCK_STREAM
    listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if (sock.family, sock.type, listens) != (socket.AF_INET, kind, not each.is_udp):
        raise HandoverError(f"socket {index} is not of its kind")
    address, port = sock.getsockname()
    is_own = (address, port) == (each.address, each.port)
    if not (is_own or IPv4Address(address).is_loopback):  # where the account's firewall leads to
        raise HandoverError(f"socket {index} is bound to {address}:{port}")
    sock.settimeout(0)
    return index


def _check_peer(launcher: socket.socket) -> None:
    peer = launcher.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(peer)
    if uid != os.geteuid():
        raise HandoverError(f"it came from user {uid}")


def _close(brought: dict[int, socket.socket]) -> None:
    for sock in brought.values():
        sock.close()
