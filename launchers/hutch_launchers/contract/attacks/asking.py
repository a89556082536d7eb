"""How attack programs ask a sandbox's ways out: at the proxy, at a door, by bytes of their own making."""

import os
import socket
from collections.abc import Callable, Mapping
from typing import NoReturn

from hutch_launchers.contract.attacks.inside import Contained, Missed

GRANTED = "api.example.org"  # by its name, at 443 and 80
BELOW = "x.cdn.example.org"  # by a wildcard, at 443 and 80
READ = "read.example.org"  # at 80, whose requests are read: GET and POST below /read/
EVIL = "evil.example.net"  # by nothing
WAIT_S = 30.0  # more than the egress itself waits for anything
_ENOUGH = 1 << 20


def proxy() -> tuple[str, int]:
    """Where the proxy is, by the environment. Raises Missed."""
    host, _, port = os.environ.get("http_proxy", "").removeprefix("http://").rpartition(":")
    if not host:
        raise Missed("no proxy is named")
    return host, int(port)


def ask(data: bytes, where: tuple[str, int] | None = None, *, until: bytes = b"") -> bytes:
    """Send bytes, and return what comes until it ends, or until these words; empty: it was hung up on.

    Raises Missed when neither comes.
    """
    got = b""
    try:
        with socket.create_connection(where or proxy(), WAIT_S) as s:
            s.sendall(data)
            while (not until or until not in got) and len(got) < _ENOUGH and (piece := s.recv(65536)):
                got += piece
    except ConnectionError:  # hung up on, perhaps with an answer before
        pass
    except TimeoutError as error:
        raise Missed(f"no answer and no end to {data[:80]!r}") from error
    return got


def status(answer: bytes) -> int:
    """The status of an answer in HTTP; 0: there was none."""
    words = answer[:16].split(b" ")
    return int(words[1]) if answer.startswith(b"HTTP/1.") and words[1][:3].isdigit() else 0


def by_connect(target: bytes, *, host: bytes | None = None, more: bytes = b"") -> int:
    """What CONNECT to a target is answered; with 200 it is not used."""
    host = target if host is None else host
    return status(ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, host, more), until=b"\r\n\r\n"))


def by_uri(target: bytes, *, host: bytes | None = None, more: bytes = b"", method: bytes = b"GET") -> int:
    """What a request in absolute form is answered."""
    named = target.partition(b"://")[2].partition(b"/")[0]
    said = named if host is None else host
    return status(ask(b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, said, more)))


def by_socks(name: bytes, port: int = 443) -> int:
    """What SOCKS5 answers to a name: 0 lets it through, 2 refuses it; 255: it was hung up on."""
    asked = b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big")
    try:
        with socket.create_connection(proxy(), WAIT_S) as s:
            s.sendall(b"\5\1\0" + asked)
            answer = b""
            while len(answer) < 4 and (piece := s.recv(64)):
                answer += piece
    except ConnectionError:
        return 255
    return answer[3] if len(answer) >= 4 else 255


def tunnel(target: str) -> socket.socket:
    """A connection by CONNECT that is open. Raises OSError."""
    s = socket.create_connection(proxy(), WAIT_S)
    s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (piece := s.recv(4096)):
            raise ConnectionError("hung up on")
        answer += piece
    if status(answer) != 200:
        raise PermissionError(answer[:200].decode(errors="replace"))
    return s


def refused(answers: Mapping[str, int], *how: int) -> NoReturn:
    """All must be refused, in one of these ways; 0: hung up on."""
    if through := {name: answer for name, answer in answers.items() if answer not in how}:
        raise Missed(f"answered so: {through}")
    raise Contained(f"all {len(answers)} are refused")


def hello(*names: bytes, more: bytes = b"") -> bytes:
    """The first words of TLS to servers of these names."""

    def vector(data: bytes, size: int = 2) -> bytes:
        return len(data).to_bytes(size, "big") + data

    listed = b"".join(b"\0" + vector(name) for name in names)
    extensions = (b"\0\0" + vector(vector(listed)) if names else b"") + more
    body = b"\3\3" + bytes(32) + b"\0" + vector(b"\x13\1") + b"\1\0" + vector(extensions)
    return b"\x16\3\1" + vector(b"\1" + vector(body, 3))


def told(opened: Callable[[], socket.socket], data: bytes) -> bytes:
    """What comes back on a connection for these first bytes; empty: it was hung up on."""
    with opened() as s:
        s.settimeout(WAIT_S)
        try:
            s.sendall(data)
            return s.recv(4096)
        except ConnectionError:
            return b""
