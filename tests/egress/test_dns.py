"""The name server inside: before hostile questions, and in a network that only just came up."""

import os
import subprocess
import sys
from pathlib import Path

import dns.message

from hutch.egress import InForce
from hutch.egress.ways.dns import NameServer
from hutch.egress.ways.names import Names
from support.needs import need
from support.networks import network


def test_questions_beyond_what_an_answer_holds_are_not_answered_and_break_nothing() -> None:
    refused: list[str] = []
    server = NameServer(Names(InForce(network("*.example.org")), ()), refused.append)
    asked = dns.message.make_query("a.example.org", "A")
    assert server.answer(asked.to_wire())
    for n in range(300):
        asked.question += dns.message.make_query(f"{n}{'x' * 50}.org", "A").question
    assert server.answer(asked.to_wire()) is None
    assert refused == []


_COMING_UP = """
import ctypes, fcntl, os, socket, struct, sys, threading

import anyio
import dns.message

from hutch.egress import InForce
from hutch.egress.ways.dns import NameServer
from hutch.egress.ways.names import Names
from support.networks import network

SERVER = ("127.0.0.53", 53)

def bound() -> socket.socket:  # as soon as the address is there
    assert ctypes.CDLL(None).unshare(0x40000000) == 0
    made, control = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
    flags = struct.pack("16sh14x", b"lo", 0x41)  # up and running
    raising = threading.Thread(target=fcntl.ioctl, args=(control, 0x8914, flags))
    raising.start()
    while True:
        try:
            made.bind(SERVER)
            break
        except OSError:
            continue
    raising.join()
    made.settimeout(0)
    return made

def ask() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.connect(SERVER)
        client.send(dns.message.make_query("a.example.org", "A").to_wire())
        assert dns.message.from_wire(client.recv(2048)).answer

async def serve() -> None:
    server = NameServer(Names(InForce(network("*.example.org")), ()), print)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve_udp, bound())
        await anyio.to_thread.run_sync(ask)
        tasks.cancel_scope.cancel()

for _ in range(60):
    if (pid := os.fork()) == 0:
        anyio.run(serve)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_socket_bound_while_its_loopback_comes_up_answers_from_its_own_address() -> None:
    need("root", os.geteuid() == 0, "root", "run the tests as root")
    ended = subprocess.run(
        [sys.executable, "-c", _COMING_UP],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
