"""Attacks on what a sandbox's ways out cost: connections, heads and bodies without end."""

import select
import socket
import time

from hutch_launchers.contract.attacks.asking import GRANTED, READ, WAIT_S, ask, by_uri, proxy, status
from hutch_launchers.contract.attacks.inside import FACTS, Contained, Missed, allowed, attack

_MANY, _MOST = 400, 128
_LARGE = 48 << 20
_PIECE = b"x" * (256 << 10)


@attack("network/floods")
def many_connections_that_say_half_a_word() -> None:
    """How many came through at once is seen from outside too."""
    held = []
    try:
        for number in range(_MANY):
            s = socket.create_connection((GRANTED, 80) if number % 4 else proxy(), WAIT_S)
            held.append(s)
            try:
                s.send(b"GET http://evil")
            except ConnectionError:
                continue
        until = time.monotonic() + WAIT_S
        while (alive := _alive(held)) > _MOST and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for s in held:
            s.close()
    if alive > _MOST:
        raise Missed(f"{alive} are open at once")
    raise Contained(f"{alive} of {_MANY} are open at once")


@attack("network/floods")
def a_head_without_end() -> None:
    for where in (proxy(), (READ, 80)):
        answer = ask(
            b"GET http://" + READ.encode() + b"/read/evil HTTP/1.1\r\n" + b"X: y\r\n" * 60_000, where
        )
        if status(answer) not in (0, 400, 431):
            raise Missed(f"{answer[:80]!r}")
    raise Contained("it is not waited for")


@allowed("network/floods")
def what_is_granted_works_afterwards() -> None:
    until = time.monotonic() + WAIT_S
    while by_uri(f"http://{GRANTED}/hello".encode()) != 200:
        if time.monotonic() > until:
            raise Missed("nothing is served any more")
        time.sleep(0.1)


@attack("network/bodies")
def large_bodies_both_ways() -> None:
    """How much of them is held is seen from outside."""
    for where, host, path in ((proxy(), GRANTED, f"http://{GRANTED}"), ((READ, 80), READ, "/read")):
        with socket.create_connection(where, WAIT_S) as s:
            s.sendall(f"POST {path}/up HTTP/1.1\r\nHost: {host}\r\nContent-Length: {_LARGE}\r\n\r\n".encode())
            for _ in range(_LARGE // len(_PIECE)):
                s.sendall(_PIECE)
        with socket.create_connection(where, WAIT_S) as s:
            s.sendall(f"GET {path}/endless HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            left = _LARGE
            while left > 0 and (piece := s.recv(1 << 20)):
                left -= len(piece)
    raise Contained("they pass in pieces")


@attack("network/bodies")
def readers_that_do_not_read() -> None:
    held = []
    for where, host, path in ((proxy(), GRANTED, f"http://{GRANTED}"), ((READ, 80), READ, "/read")) * 8:
        s = socket.create_connection(where, WAIT_S)
        s.sendall(f"GET {path}/endless HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        held.append(s)
    time.sleep(1)
    for s in held:
        s.close()
    raise Contained("nothing is kept for them")


@attack("network/bodies")
def what_is_packed_small() -> None:
    """Nothing in between unpacks it: what arrives is as long as what was sent."""
    answer = ask(
        f"GET /read/bomb HTTP/1.1\r\nHost: {READ}\r\nAccept-Encoding: deflate\r\n\r\n".encode(), (READ, 80)
    )
    body = answer.partition(b"\r\n\r\n")[2]
    if len(body) != FACTS["bomb"]:
        raise Missed(f"{len(body)} bytes came of {FACTS['bomb']}")
    raise Contained("it passes as it is")


@allowed("network/bodies")
def a_body_arrives_whole() -> None:
    body = b"x" * (1 << 20)
    head = f"POST /read/up HTTP/1.1\r\nHost: {READ}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    if f"hello {len(body)}".encode() not in ask(head + body, (READ, 80), until=b"hello "):
        raise Missed("it did not")


def _alive(held: list[socket.socket]) -> int:
    """How many of them were not hung up on."""
    looking = select.poll()
    for s in held:
        looking.register(s, select.POLLIN)
    return len(held) - len(looking.poll(0))
