"""Attacks by terminals and by the odd families of sockets."""

import fcntl
import os
import socket
import struct
import termios
from typing import NoReturn

from hutch_launchers.contract.attacks.calls import NR
from hutch_launchers.contract.attacks.inside import (
    Absent,
    Contained,
    Missed,
    allowed,
    attack,
    denied,
    flat,
    needs_sockets,
)

_HIGH = 1 << 32


@attack("kernel/tiocsti")
def push_input_into_a_terminal() -> None:
    _, slave = os.openpty()
    denied(NR["ioctl"], slave, termios.TIOCSTI, b"x")


@attack("kernel/tiocsti")
def push_input_with_a_high_bit() -> None:
    _, slave = os.openpty()
    denied(NR["ioctl"], slave, _HIGH | termios.TIOCSTI, b"x")


@attack("kernel/tiocsti")
def select_and_paste_on_a_console() -> None:
    _, slave = os.openpty()
    denied(NR["ioctl"], slave, 0x541C, b"\x03")


@attack("kernel/tiocsti")
def change_the_line_discipline() -> None:
    _, slave = os.openpty()
    denied(NR["ioctl"], slave, 0x5423, struct.pack("i", 2))


@attack("kernel/tiocsti")
def a_controlling_terminal_was_inherited() -> None:
    os.open("/dev/tty", os.O_RDWR)


@attack("kernel/tiocsti")
def a_terminal_of_the_host() -> None:
    for name in ("/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0"):
        if os.path.lexists(name):
            os.open(name, os.O_RDWR | os.O_NOCTTY)
            raise Missed(name)
    others = [p for p in os.listdir("/dev/pts") if p != "ptmx"]
    if others:
        raise Missed(f"/dev/pts/{others}")
    raise Contained("no terminal of the host")


@allowed("kernel/tiocsti")
def a_terminal_of_its_own_works() -> None:
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise Absent("a sandbox of this method has no terminals") from error
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    os.write(slave, b"x")
    assert os.read(master, 1) == b"x"


def _families() -> None:
    names = {17: "af-packet", 38: "af-alg", 40: "af-vsock"}
    for family in [*range(3, 10), *range(11, 16), *range(17, 46)]:
        case = f"kernel/{names.get(family, 'other-families')}"
        for kind in (1, 2, 3, 5):
            flat(case, f"socket_{family}_{kind}", NR.get("socket"), family, kind, 0)
        flat(case, f"socket_{family}_with_a_high_bit", NR.get("socket"), _HIGH | family, 2, 0)


_families()
for _protocol in range(1, 23):
    flat("kernel/other-families", f"netlink_{_protocol}", NR.get("socket"), 16, 3, _protocol)


@attack("kernel/af-packet")
def packets_by_the_old_family() -> NoReturn:
    denied(NR["socket"], 2, 10, 0x300)


@attack("kernel/af-packet")
def raw_internet_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack("kernel/af-vsock")
def vsock_device() -> None:
    os.open("/dev/vsock", os.O_RDWR)


@allowed("kernel/af-packet")
@allowed("kernel/af-alg")
@allowed("kernel/af-vsock")
@allowed("kernel/other-families")
def plain_sockets_work() -> None:
    needs_sockets()
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        socket.socket(family, socket.SOCK_STREAM).close()
    assert "lo" in {name for _, name in socket.if_nameindex()}
