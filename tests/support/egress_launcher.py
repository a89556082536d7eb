"""What a launcher does for egress, without a sandbox: listeners on loopback, handed over by descriptor."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from anyio import to_thread

from hutch_launchers.spec import Door, EgressEndpoint


@contextmanager
def listeners(doors: Sequence[Door]) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_server((door.address, door.port), backlog=1024))
            for door in doors
        ]


def message(index: int) -> bytes:
    return struct.pack(">I", index)


def send(launcher: socket.socket, index: int, listener: socket.socket) -> None:
    socket.send_fds(launcher, [message(index)], [listener.fileno()])


def connect(endpoint: EgressEndpoint) -> socket.socket:
    launcher = socket.socket(socket.AF_UNIX)
    launcher.settimeout(5)
    try:
        launcher.connect(str(endpoint.socket))
    except OSError:
        launcher.close()
        raise
    return launcher


async def hand_over(endpoint: EgressEndpoint) -> None:
    """Bring every door, as a launcher does, and wait until it is served."""

    def bring() -> bytes:
        with connect(endpoint) as launcher, listeners(endpoint.doors) as brought:
            for index, listener in enumerate(brought):
                send(launcher, index, listener)
            return launcher.recv(1)

    assert await to_thread.run_sync(bring) == b"\x01"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
