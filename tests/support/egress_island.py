"""A network of its own where a public address is this very process: run as a program, it prints what it saw.

The rules let a granted name be public addresses only, and check TLS on port 443 only, so that a real passage
needs both; a user and a network namespace give them without leaving the machine.
"""

import ctypes
import fcntl
import json
import os
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener, TLSStream

from hutch.egress import Connection, InForce, Resolver, open_ways, tunnel
from hutch_launchers.spec import EgressEndpoint, Listener
from support.egress_launcher import hand_over
from support.networks import network

PUBLIC = "93.184.215.14"
TLS = Path(__file__).parents[1] / "egress" / "tls"
NO_NAMESPACES = 77
NEWUSER, NEWNET = 0x10000000, 0x40000000  # sched.h
SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1


def leave() -> None:
    uid, gid = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(NEWUSER | NEWNET) != 0:
        sys.exit(NO_NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    with socket.socket() as any_socket:
        address = struct.pack("16sH2x4s8x", b"lo:1", socket.AF_INET, socket.inet_aton(PUBLIC))
        raise_loopback()
        fcntl.ioctl(any_socket, SIOCSIFADDR, address)


def raise_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Inside:
    """A network namespace for the clients, as a sandbox has one: what its one thread makes is in there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self._enter).result()

    def _enter(self) -> None:
        assert ctypes.CDLL(None).unshare(NEWNET) == 0
        raise_loopback()

    async def bring(self, endpoint: EgressEndpoint) -> None:
        """Hand its sockets over, as a launcher does."""
        brought = self._thread.submit(lambda: [self._made(each) for each in endpoint.made]).result()
        await hand_over(endpoint, brought)

    async def dial(self, address: str, port: int) -> SocketStream:
        client = self._thread.submit(socket.create_connection, (address, port)).result()
        return await SocketStream.from_socket(client)

    @staticmethod
    def _made(each: Listener) -> socket.socket:
        if not each.is_udp:
            return socket.create_server((each.address, each.port))
        made = socket.socket(type=socket.SOCK_DGRAM)
        made.bind((each.address, each.port))
        return made


async def shout(stream: TLSStream) -> None:
    async with stream:
        await stream.send((await stream.receive()).upper())


async def over_tls(door: SocketStream, name: str | None) -> str:
    context = ssl.create_default_context(cafile=TLS / "cert.pem")
    context.check_hostname = name is not None
    try:
        stream = await TLSStream.wrap(
            door, hostname=name, ssl_context=context, server_side=False, standard_compatible=False
        )
        async with stream:
            await stream.send(b"hello")
            return (await stream.receive()).decode()
    except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError):
        return "closed"


async def in_the_open(door: SocketStream, *pieces: bytes) -> str:
    with suppress(anyio.BrokenResourceError):
        for piece in pieces:
            await door.send(piece)
            await anyio.sleep(0.02)
    try:
        return (await door.receive()).decode()
    except (anyio.BrokenResourceError, anyio.EndOfStream):
        return "closed"


async def main(folder: Path) -> None:
    module = sys.modules[tunnel.__module__]  # whose name its function took
    module.HELLO_S = 60.0  # type: ignore[attr-defined]
    sys.modules["hutch.egress.passage"].is_own = lambda _: False  # type: ignore[attr-defined]  # the public address is this process
    log: list[Connection] = []
    arrived = 0

    async def ask(host: str, _: int) -> list[str]:
        return {"api.example.org": [PUBLIC], "rebinds.example.org": ["127.0.0.1"]}[host]

    async def counted(stream: TLSStream) -> None:
        nonlocal arrived
        arrived += 1
        await shout(stream)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    granted = InForce(network("api.example.org", "rebinds.example.org"))
    inside = Inside()
    plain = await anyio.create_tcp_listener(local_host=PUBLIC, local_port=443)
    listener = TLSListener(plain, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, counted)
        async with open_ways(granted, "r", folder, log.append, resolver=Resolver(ask)) as endpoint:
            await inside.bring(endpoint)

            async def dial(n: int = 0) -> SocketStream:
                return await inside.dial(endpoint.doors[n].address, 443)

            seen = {
                "granted name": await over_tls(await dial(), "api.example.org"),
                "upper case": await over_tls(await dial(), "API.example.org"),
                "another name": await over_tls(await dial(), "other.example.org"),
                "no name": await over_tls(await dial(), None),
                "no TLS": await in_the_open(await dial(), b"GET / HTTP/1.1\r\nHost: api.example.org\r\n\r\n"),
                "garbage": await in_the_open(await dial(), os.urandom(4096)),
                "name of a private address": await over_tls(await dial(1), "rebinds.example.org"),
            }
            module.HELLO_S = 0.5  # type: ignore[attr-defined]
            seen |= {
                "silence": await in_the_open(await dial()),
                "a byte at a time": await in_the_open(await dial(), *[b"\x16", b"\x03", b"\x01"] * 20),
            }
        tasks.cancel_scope.cancel()
    refused = sorted(str(record.refused or "passed") for record in log)
    sys.stdout.write(json.dumps({"seen": seen, "arrived": arrived, "refused": refused}))


if __name__ == "__main__":
    leave()
    with TemporaryDirectory() as folder:
        anyio.run(main, Path(folder))
