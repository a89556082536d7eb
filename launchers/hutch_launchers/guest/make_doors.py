"""Makes the doors of a sandbox: listening sockets inside its network namespace, handed to the host's egress.

Started as a process of its own: only one with a single thread may enter a user namespace. It keeps the
host's files and reads nothing from inside. Argument: the egress's socket. Standard input: as JSON the
sandbox's pid and a list of [address, port, whether UDP]. Exit status 0: the egress serves them all.
"""

import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys
import time

_NS_GET_USERNS = 0xB701  # ioctl_ns(2)
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_BACKLOG = 128
_PATIENCE_S = 10.0  # for the egress
_ASK_AGAIN_S = 0.001


def main(egress: str) -> None:
    """Connect to the egress while the rights are still the daemon's, then enter."""
    pid, wanted = json.load(sys.stdin)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_S)
    connection.connect(egress)
    _enter_network(pid)
    for index, (address, port, is_udp) in enumerate(wanted):
        made = _made(address, port, is_udp=is_udp)
        socket.send_fds(connection, [struct.pack(">I", index)], [made.fileno()])
        made.close()
    if connection.recv(1) == b"":
        sys.exit("the egress hung up")


def _made(address: str, port: int, *, is_udp: bool) -> socket.socket:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return (
                _bound(address, port) if is_udp else socket.create_server((address, port), backlog=_BACKLOG)
            )
        except OSError as error:
            # bwrap tells its child's number before that child has brought its loopback up
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > until:
                raise
        time.sleep(_ASK_AGAIN_S)


def _bound(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


def _enter_network(pid: int) -> None:
    # The network belongs to the first of the two user namespaces that bwrap makes, the process to the second.
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    libc = ctypes.CDLL(None, use_errno=True)
    is_ours = os.path.sameopenfile(owner, os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC))
    for fd, kind in ((owner, _CLONE_NEWUSER), (network, _CLONE_NEWNET))[is_ours:]:
        if libc.setns(fd, kind) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
