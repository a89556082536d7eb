"""Non-blocking sockets under anyio, unbuffered: what was sent is the kernel's, so closing loses nothing.

anyio's own streams hold sent data back in the process and drop it when they are closed.
"""

import errno
import os
import socket
import struct

from anyio import lowlevel, wait_readable, wait_writable

CHUNK = 128 << 10  # bytes, of each direction of a connection at most; a quarter less work than with 64

_ANY_PORT = 9
_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
_SOCKADDR_IN = struct.Struct("!2xH4s8x")


async def accept(listener: socket.socket) -> socket.socket:
    """Wait for a client. Raises OSError, as when no descriptor is left."""
    while True:
        await wait_readable(listener)
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            continue
        client.settimeout(0)
        if client.family != socket.AF_UNIX:  # small pieces of a stream go on as they come
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client


def dialled(client: socket.socket) -> tuple[str, int]:
    """Return the address that a client connected to, before a firewall led it here."""
    try:
        port, address = _SOCKADDR_IN.unpack(client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    except OSError:  # it was not led anywhere
        address, port = client.getsockname()
        return address, port
    return socket.inet_ntoa(address), port


async def receive(sock: socket.socket) -> bytes:
    """Return what is there, at most `CHUNK` bytes; empty at the other side's end. Raises OSError."""
    await lowlevel.checkpoint()  # a stream that never stops must not hold the loop
    while True:
        try:
            return sock.recv(CHUNK)
        except BlockingIOError:
            await wait_readable(sock)


async def send(sock: socket.socket, data: bytes) -> None:
    """Give all of it to the kernel. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            await wait_writable(sock)


def is_own(host: str) -> bool:
    """Whether an address is one of this machine's own; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, _ANY_PORT))
        except OSError:  # no way leads there
            return False
        return bool(sock.getsockname()[0] == host)  # the kernel answers itself as itself


async def connect(host: str, port: int) -> socket.socket:
    """Connect to an address, never a name. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failure = sock.connect_ex((host, port))
        if failure == errno.EINPROGRESS:
            await wait_writable(sock)
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))
    except BaseException:
        sock.close()
        raise
    return sock
