"""What a launcher does for egress, without a sandbox: listeners on loopback, handed over by descriptor."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import pytest
from anyio import to_thread

from hutch_launchers.spec import EgressEndpoint, Listener

FIRST_PORT = 4096  # of those that are tests' own

# Ports that are the host's own, or everybody's who tests at the same time, are bound in a namespace of no use
_ELSEWHERE = """
import ctypes, json, os, socket, sys
uid, gid = os.getuid(), os.getgid()
if ctypes.CDLL(None).unshare(0x50000000) != 0:  # CLONE_NEWUSER | CLONE_NEWNET
    sys.exit(77)
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"0 {uid} 1")
open("/proc/self/gid_map", "w").write(f"0 {gid} 1")
import fcntl, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
brought = []
for address, port, is_udp in json.loads(sys.argv[2]):
    made = socket.socket(type=socket.SOCK_DGRAM) if is_udp else socket.create_server((address, port))
    is_udp and made.bind((address, port))
    brought.append(made)
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"."], [made.fileno() for made in brought])
"""


@contextmanager
def listeners(made: Sequence[Listener]) -> Iterator[list[socket.socket]]:
    """Sockets in this order; those of doors at high ports are on the host's own loopback."""
    here = [each for each in made if each.port >= FIRST_PORT]
    there = [each for each in made if each not in here]
    with ExitStack() as stack:
        found = {each: _listening(each) for each in here} | dict(zip(there, _elsewhere(there), strict=True))
        yield [stack.enter_context(found[each]) for each in made]


def _listening(each: Listener) -> socket.socket:
    if not each.is_udp:
        return socket.create_server((each.address, each.port), backlog=1024)
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((each.address, each.port))
    return sock


def _elsewhere(made: Sequence[Listener]) -> list[socket.socket]:
    if not made:
        return []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wanted = json.dumps([[each.address, each.port, each.is_udp] for each in made])
        words = [sys.executable, "-I", "-S", "-c", _ELSEWHERE, str(theirs.fileno()), wanted]
        done = subprocess.run(words, pass_fds=[theirs.fileno()], check=False)
        if done.returncode == 77:
            pytest.skip("needs user and network namespaces")
        assert done.returncode == 0
        return [socket.socket(fileno=fd) for fd in socket.recv_fds(ours, 1, len(made))[1]]


def message(index: int) -> bytes:
    return struct.pack(">I", index)


def send(launcher: socket.socket, index: int, listener: socket.socket) -> None:
    socket.send_fds(launcher, [message(index)], [listener.fileno()])


def connect(endpoint: EgressEndpoint) -> socket.socket:
    launcher = socket.socket(socket.AF_UNIX)
    launcher.settimeout(60)
    try:
        launcher.connect(str(endpoint.socket))
    except OSError:
        launcher.close()
        raise
    return launcher


async def hand_over(endpoint: EgressEndpoint, made: Sequence[socket.socket] | None = None) -> None:
    """Bring every socket, as a launcher does, and wait until they are served."""

    def bring() -> bytes:
        bringing = nullcontext(made) if made is not None else listeners(endpoint.made)
        with connect(endpoint) as launcher, bringing as brought:
            for index, listener in enumerate(brought):
                send(launcher, index, listener)
            return launcher.recv(1)

    assert await to_thread.run_sync(bring) == b"\x01"
