"""The doors of a run that is online: listeners on the host's loopback, left to it alone by the firewall."""

import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass

from hutch_launchers.doors import check_doors, failed
from hutch_launchers.methods.account.firewall import Opening
from hutch_launchers.spec import EVERY_ADDRESS, EgressEndpoint

_LOOPBACK = "127.0.0.1"
_BACKLOG = 128
_PATIENCE_S = 10.0  # for the egress


@dataclass(frozen=True, slots=True)
class Doors:
    """Their sockets. Nobody can connect yet: they do not listen before the firewall knows of them."""

    egress: EgressEndpoint
    listeners: tuple[socket.socket, ...]

    @property
    def openings(self) -> tuple[Opening, ...]:
        """What the account may connect to; by UDP nothing."""
        found = []
        for each, one in zip(self.egress.made, self.listeners, strict=True):
            if not each.is_udp:
                places = [each.address] if each.address != EVERY_ADDRESS else self._addresses(each.port)
                found += [Opening(address, each.port, one.getsockname()[1]) for address in places]
        return tuple(found)

    def _addresses(self, port: int) -> list[str]:
        """The doors at a port that one listener serves: the kernel tells it which was dialled."""
        return sorted({door.address for door in self.egress.doors if door.port == port})

    def open(self) -> None:
        """Hand them to the egress; on return it serves them all. Blocks. Raises LauncherError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PATIENCE_S)
                connection.connect(str(self.egress.socket))
                for index, (each, listener) in enumerate(zip(self.egress.made, self.listeners, strict=True)):
                    if not each.is_udp:
                        listener.listen(_BACKLOG)
                    socket.send_fds(connection, [struct.pack(">I", index)], [listener.fileno()])
                    listener.close()
                if connection.recv(1) == b"":
                    raise failed("the egress hung up")
        except OSError as error:
            raise failed(str(error)) from error


def make_doors(egress: EgressEndpoint, held: ExitStack) -> Doors:
    """Bind a socket for each of the egress's; `held` closes what is left of them. Raises LauncherError."""
    check_doors(egress)
    made = []
    for each in egress.made:
        kind = socket.SOCK_DGRAM if each.is_udp else socket.SOCK_STREAM
        listener = held.enter_context(socket.socket(socket.AF_INET, kind))
        listener.bind((_LOOPBACK, 0))
        made.append(listener)
    return Doors(egress, tuple(made))
