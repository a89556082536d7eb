"""Attacks on how requests are read: bytes that two programs would read differently."""

from hutch_launchers.contract.attacks.asking import EVIL, GRANTED, READ, ask, refused, status
from hutch_launchers.contract.attacks.inside import Missed, allowed, attack

_HIDDEN = b"GET /evil HTTP/1.1\r\nHost: evil.example.net\r\n\r\n"
_FRAMINGS = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 47\r\n\r\n" + _HIDDEN,
    "two lengths in one": b"Content-Length: 0, 47\r\n\r\n" + _HIDDEN,
    "a signed length": b"Content-Length: +47\r\n\r\n" + _HIDDEN,
    "a length in hex": b"Content-Length: 0x2f\r\n\r\n" + _HIDDEN,
    "a negative length": b"Content-Length: -1\r\n\r\n" + _HIDDEN,
    "chunked after something": b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunked before something": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "nearly chunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunked by a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "a space before the colon": b"Content-Length : 47\r\n\r\n" + _HIDDEN,
    "a NUL in a value": b"X: a\0b\r\n\r\n" + _HIDDEN,
    "a bare CR": b"X: a\rContent-Length: 47\r\n\r\n" + _HIDDEN,
}


def _head(target: str, host: str, *, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    return f"{method} {target} {version}\r\nHost: {host}\r\n".encode()


@attack("network/smuggling")
def two_readings_at_the_proxy() -> None:
    first = _head(f"http://{GRANTED}/evil", GRANTED)
    asked = {name: first + rest for name, rest in _FRAMINGS.items()}
    asked |= {
        "absolute form against Host": _head(f"http://{GRANTED}/evil", EVIL) + b"\r\n",
        "Host against absolute form": _head(f"http://{EVIL}/evil", GRANTED) + b"\r\n",
        "two Hosts": first + f"Host: {EVIL}\r\n\r\n".encode(),
        "no Host": f"GET http://{GRANTED}/evil HTTP/1.1\r\n\r\n".encode(),
        "origin form": _head("/evil", GRANTED) + b"\r\n",
        "https without CONNECT": _head(f"https://{GRANTED}/evil", GRANTED) + b"\r\n",
        "CONNECT with a body": _head(f"{GRANTED}:443", f"{GRANTED}:443", method="CONNECT")
        + b"Content-Length: 47\r\n\r\n"
        + _HIDDEN,
        "CONNECT against Host": _head(f"{GRANTED}:443", f"{EVIL}:443", method="CONNECT") + b"\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }
    refused({name: status(ask(data, until=b"\r\n")) for name, data in asked.items()}, 400, 403, 501, 505)


@attack("network/smuggling")
def two_readings_where_requests_are_read() -> None:
    door, first = (READ, 80), _head("/read/evil", READ)
    asked = {name: first + rest for name, rest in _FRAMINGS.items()}
    asked |= {
        "absolute form against Host": _head(f"http://{EVIL}/read/evil", READ) + b"\r\n",
        "another Host": _head("/read/evil", EVIL) + b"\r\n",
        "two Hosts": first + f"Host: {EVIL}\r\n\r\n".encode(),
        "no Host": b"GET /read/evil HTTP/1.1\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/0.9": b"GET /read/evil\r\n\r\n",
    }
    refused(
        {name: status(ask(data, door, until=b"\r\n")) for name, data in asked.items()},
        400,
        403,
        421,
        501,
        505,
    )


@attack("network/smuggling")
def a_second_request_and_paths_beside_the_rule() -> None:
    door = (READ, 80)
    two = _head("/read/hello", READ, method="GET") + b"\r\n" + _head("/evil", READ, method="GET") + b"\r\n"
    answers = ask(two, door)
    if status(answers) != 200 or answers.count(b"HTTP/1.1 200") > 1:
        raise Missed(f"what follows a request that is let through: {answers[:200]!r}")
    paths = ("/evil", "/read/../evil", "/read/%2e%2e/evil", "/read//evil", "/read/..%2fevil", "/reader/evil")
    heads = {path: _head(path, READ, method="GET") for path in paths}
    heads["another method"] = _head("/read/evil", READ, method="DELETE")
    refused(
        {name: status(ask(head + b"\r\n", door, until=b"\r\n")) for name, head in heads.items()}, 400, 403
    )


@allowed("network/smuggling")
def plain_requests_with_bodies_pass() -> None:
    body = b"Content-Length: 5\r\n\r\nhello"
    for where, target, host in ((None, f"http://{GRANTED}/", GRANTED), ((READ, 80), "/read/it", READ)):
        answer = ask(_head(target, host) + body, where, until=b"hello 5")
        if b"hello 5" not in answer:
            raise Missed(f"{target}: {answer[:200]!r}")
