"""Attacks on the network: nothing leaves, by whatever address, protocol or spelling."""

import os
import socket
import struct
import subprocess
from pathlib import Path

from hutch_launchers.contract.attacks.inside import FACTS, Contained, Missed, allowed, attack, needs_sockets

_WAIT_S = 2
_METADATA = ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "100.100.100.200")
_ELSEWHERE = (
    "1.1.1.1",
    "8.8.8.8",
    "10.0.0.1",
    "192.168.1.1",
    "2606:4700:4700::1111",
    "fe80::1",
    "::ffff:1.1.1.1",
)


def _connect(address: str, port: int) -> None:
    socket.create_connection((address, port), _WAIT_S).close()


def _none_of(addresses: tuple[str, ...], ports: tuple[int, ...]) -> str | None:
    for address in addresses:
        for port in ports:
            try:
                _connect(address, port)
            except OSError:
                continue
            return f"{address}:{port}"
    raise Contained("no route to any")


@attack("network/beside")
@attack("network/no-route")
def tcp_to_anywhere() -> str | None:
    return _none_of(_ELSEWHERE, (443, 80, 53))


@attack("network/no-route")
def proxies_of_the_environment() -> str | None:
    named = [name for name in os.environ if name.lower().endswith("_proxy")]
    if named:
        return str(named)
    raise Contained("none is named")


@attack("network/no-route")
def interfaces_and_routes() -> str | None:
    names = [name for _, name in socket.if_nameindex()]
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    if names == ["lo"] and not routes:
        raise Contained("a loopback interface, no route")
    return f"{names} {routes}"


@attack("network/beside")
@attack("network/no-route")
def make_an_interface() -> None:
    import fcntl

    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"tun0", 1))


@attack("network/no-route")
def add_a_route() -> str | None:
    ended = subprocess.run(["ip", "link", "add", "x0", "type", "dummy"], capture_output=True, check=False)
    if ended.returncode:
        raise Contained(ended.stderr.decode(errors="replace").strip())
    return "an interface was added"


@attack("network/beside")
@attack("network/udp-and-icmp")
def datagrams() -> str | None:
    for address, family in (("1.1.1.1", socket.AF_INET), ("2606:4700:4700::1111", socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            try:
                client.sendto(b"x", (address, 443))
            except OSError:
                continue
            return address
    raise Contained("no route for a datagram")


@attack("network/beside")
@attack("network/udp-and-icmp")
def ping() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as client:
        client.sendto(b"\x08\0\0\0\0\0\0\0", ("1.1.1.1", 0))


@attack("network/beside")
@attack("network/udp-and-icmp")
def sctp_and_multicast() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("224.0.0.1", 9999))


@attack("network/dns")
def resolve_a_name() -> str:
    return str(socket.getaddrinfo("example.com", 443)[0][4])


@attack("network/dns")
def ask_a_resolver() -> str | None:
    return _none_of(("1.1.1.1", "127.0.0.53", "127.0.0.1"), (53, 853))


@attack("network/beside")
@attack("network/metadata")
def cloud_metadata() -> str | None:
    return _none_of(_METADATA, (80, 443))


@attack("network/beside")
@attack("network/literals")
def odd_spellings_of_the_hosts_loopback() -> str | None:
    port = FACTS["daemon_port"]
    spellings = (
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
    )
    return _none_of(spellings, (port,))


@attack("network/beside")
@attack("network/host-loopback")
def the_daemons_own_port() -> None:
    _connect("127.0.0.1", FACTS["daemon_port"])


@attack("network/beside")
@attack("network/host-loopback")
def a_service_of_the_host() -> None:
    _connect("127.0.0.1", FACTS["service_port"])


@attack("network/beside")
@attack("network/host-loopback")
def the_hosts_own_addresses() -> str | None:
    return _none_of(tuple(FACTS["host_addresses"]), (FACTS["service_port"], 22))


@allowed("network/host-loopback")
@allowed("network/no-route")
@allowed("network/udp-and-icmp")
@allowed("network/literals")
@allowed("network/metadata")
@allowed("network/dns")
def its_own_loopback_works() -> None:
    needs_sockets()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as server:
            try:
                server.bind((address, 0))
            except OSError:
                if family == socket.AF_INET6:
                    continue  # many a sandbox has no such address
                raise
            server.listen()
            _connect(address, server.getsockname()[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.sendto(b"x", one.getsockname())
        if one.recv(1) != b"x":
            raise Missed("a datagram to itself was lost")
