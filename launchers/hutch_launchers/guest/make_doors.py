"""Makes the doors of a sandbox: listening sockets inside its network namespace, handed to the host's egress.

Started as a process of its own: only one with a single thread may enter a user namespace. It keeps the
host's files and reads nothing from inside. Argument: the egress's socket. Standard input: the sandbox's pid,
then a line for each, with its address, its port, and `udp` or `tcp`. Exit status 0: the egress serves them
all. A sandbox's start waits for this one's, of which imports were the greater part.
"""

import _socket  # what `socket` adds takes longer to import than a Python to start, and is not needed here
import ctypes
import errno
import fcntl
import os
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
    pid, *wanted = sys.stdin.read().splitlines()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_S)
    connection.connect(egress)
    _enter_network(int(pid))
    for index, line in enumerate(wanted):
        address, port, kind = line.split()
        made = _made((address, int(port)), is_udp=kind == "udp")
        descriptor = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", made.fileno()))
        connection.sendmsg([struct.pack(">I", index)], [descriptor])
        made.close()
    if connection.recv(1) == b"":
        sys.exit("the egress hung up")


def _made(place: tuple[str, int], *, is_udp: bool) -> _socket.socket:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _bound(place, is_udp=is_udp)
        except OSError as error:
            # bwrap tells its child's number before that child has brought its loopback up
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > until:
                raise
        time.sleep(_ASK_AGAIN_S)


def _bound(place: tuple[str, int], *, is_udp: bool) -> _socket.socket:
    made = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM if is_udp else _socket.SOCK_STREAM)
    if not is_udp:
        made.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    made.bind(place)
    if not is_udp:
        made.listen(_BACKLOG)
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
