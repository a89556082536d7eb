"""Which connections are spoken to at all: a unix-socket peer is its owner or root, and nobody dawdles."""

import asyncio
import logging
import os
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

_FIRST_REQUEST_S = 10.0  # for a request's headers to arrive; on loopback they take none
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class PeerCheckedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol, which drops a unix-socket peer of another user before a byte is read.

    The file's mode (0600) says the same; this holds when the socket was passed on or its mode was loosened.
    A connection whose first request does not arrive is closed: anybody may open the TCP port, and would hold
    our descriptors for ever.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connected: socket.socket | None = transport.get_extra_info("socket")
        if (
            connected is not None
            and connected.family == socket.AF_UNIX
            and not _is_trusted(peer_uid(connected))
        ):
            logger.warning("unix socket: refused a peer of uid %d", peer_uid(connected))
            transport.abort()
            return
        super().connection_made(transport)
        self.loop.call_later(_FIRST_REQUEST_S, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


def peer_uid(connected: socket.socket) -> int:
    """Return the uid of the process that connected."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(raw)[1]
    return uid


def _is_trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())
