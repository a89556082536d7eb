"""The two ends of a measured connection, each a program of its own: it knows nothing of what is between.

    serve                               prints its port; answers an empty line at once, "SIZE" by so much
    connect HOST:PORT PROXY COUNT       seconds until the first byte of each of COUNT connections
    pull HOST:PORT PROXY STREAMS SIZE   seconds for SIZE bytes by each of STREAMS connections at once

PROXY is HOST:PORT of an HTTP proxy, or "-". Says "ready", waits for a line, then prints JSON.
"""

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable

_CHUNK = 1 << 18
_PATIENCE_S = 120


def serve() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        content = os.memfd_create("content")
        os.truncate(content, 1 << 30)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, content), daemon=True).start()


def _answer(client: socket.socket, content: int) -> None:
    with client:
        asked = client.recv(64).strip()
        if not asked:
            client.sendall(b".")
            return
        rest = int(asked)
        while rest:
            rest -= os.sendfile(client.fileno(), content, 0, min(rest, 1 << 30))


def dial(where: str, proxy: str) -> socket.socket:
    host, _, port = (where if proxy == "-" else proxy).rpartition(":")
    sock = socket.create_connection((host, int(port)), _PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if proxy != "-":
        sock.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            assert piece, head
            head += piece
        assert b" 200 " in head.partition(b"\r\n")[0] + b" ", head
    return sock


def connect(where: str, proxy: str, count: str) -> list[float]:
    samples = []
    for _ in range(int(count)):
        began = time.perf_counter()
        with dial(where, proxy) as sock:
            sock.sendall(b"\n")
            assert sock.recv(1) == b"."
        samples.append(time.perf_counter() - began)
    return samples


def pull(where: str, proxy: str, streams: str, size: str) -> float:
    selector, buffer = selectors.DefaultSelector(), bytearray(_CHUNK)
    left: dict[socket.socket, int] = {}
    for _ in range(int(streams)):
        sock = dial(where, proxy)
        left[sock] = int(size)
        selector.register(sock, selectors.EVENT_READ, sock)
    began = time.perf_counter()
    for sock in left:
        sock.sendall(size.encode() + b"\n")
    while left:
        for key, _ in selector.select(_PATIENCE_S):
            sock = key.data
            got = sock.recv_into(buffer)
            assert got, "it ended early"
            left[sock] -= got
            if left[sock] == 0:
                selector.unregister(sock)
                sock.close()
                del left[sock]
    return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print("ready", flush=True)
        sys.stdin.readline()
        measures: dict[str, Callable[..., object]] = {"connect": connect, "pull": pull}
        print(json.dumps(measures[sys.argv[1]](*sys.argv[2:])), flush=True)
