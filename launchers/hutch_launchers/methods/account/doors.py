"""The doors of a run that is online: listeners on the host's loopback, left to it alone by the firewall."""

import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass

from hutch_launchers.doors import check_doors, failed
from hutch_launchers.methods.account.firewall import Opening
from hutch_launchers.spec import EgressEndpoint

_LOOPBACK = "127.0.0.1"
_BACKLOG = 128
_PATIENCE_S = 10.0  # for the egress


@dataclass(frozen=True, slots=True)
class Doors:
    """One listener a door. Nobody can connect yet: they do not listen before the firewall knows of them."""

    egress: EgressEndpoint
    listeners: tuple[socket.socket, ...]

    @property
    def openings(self) -> tuple[Opening, ...]:
        pairs = zip(self.egress.doors, self.listeners, strict=True)
        return tuple(Opening(door.address, door.port, one.getsockname()[1]) for door, one in pairs)

    def open(self) -> None:
        """Hand them to the egress; on return it serves them all. Blocks. Raises LauncherError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PATIENCE_S)
                connection.connect(str(self.egress.socket))
                for index, listener in enumerate(self.listeners):
                    listener.listen(_BACKLOG)
                    socket.send_fds(connection, [struct.pack(">I", index)], [listener.fileno()])
                    listener.close()
                if connection.recv(1) == b"":
                    raise failed("the egress hung up")
        except OSError as error:
            raise failed(str(error)) from error


def make_doors(egress: EgressEndpoint, held: ExitStack) -> Doors:
    """Bind a listener for each door; `held` closes what is left of them. Raises LauncherError."""
    check_doors(egress)
    made = []
    for _ in egress.doors:
        listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listener.bind((_LOOPBACK, 0))
        made.append(listener)
    return Doors(egress, tuple(made))
