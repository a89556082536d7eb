"""Attacks on what a sandbox was granted: by another name, by another spelling, to another address."""

import json
import socket
import struct
import urllib.request
from http.client import HTTPResponse

from hutch_launchers.contract.attacks.asking import (
    BELOW,
    EVIL,
    GRANTED,
    READ,
    WAIT_S,
    ask,
    by_connect,
    by_socks,
    by_uri,
    hello,
    proxy,
    refused,
    status,
    told,
    tunnel,
)
from hutch_launchers.contract.attacks.inside import FACTS, Absent, Contained, Missed, allowed, attack

_NAME, _EVIL = GRANTED.encode(), EVIL.encode()
_ODD = {
    "NUL": _NAME + b"\0",
    "NUL and more": _NAME + b"\0." + _EVIL,
    "CR": _NAME + b"\r",
    "CR LF": _NAME + b"\r\nX: evil",
    "LF": _NAME + b"\n" + _EVIL,
    "space": _NAME + b" " + _EVIL,
    "user": b"evil@" + _NAME,
    "user and password": _NAME + b":443@" + _EVIL,
    "escaped": _NAME + b"%00." + _EVIL,
    "escaped dot": b"evil%2e" + _NAME,
    "two final dots": _NAME + b"..",
    "an empty label": b"evil.." + BELOW.encode(),
    "a star": b"*.cdn.example.org",
    "not ASCII": "evil\u3002cdn.example.org".encode(),
    "backslash": _EVIL + b"\\." + BELOW.encode(),
    "fragment": _EVIL + b"#." + BELOW.encode(),
    "a label of 64": b"e" * 64 + b".cdn.example.org",
    "over 253": b"evil." * 48 + BELOW.encode(),
    "over 255": b"evil." * 60 + BELOW.encode(),
    "nothing": b"",
}
_LITERALS = (
    *("93.184.215.14", "1572395790", "0x5db8d70e", "0135.0270.0327.016", "93.12113678", "93.184.55054"),
    *("[::ffff:93.184.215.14]", "[::ffff:5db8:d70e]", "93.184.215.14.", "127.0.0.1", "127.1", "2130706433"),
    *("0177.0.0.1", "0x7f.1", "0", "[::1]", "[::]", "[::ffff:7f00:1]", "169.254.169.254", "[fd00:ec2::254]"),
    *("10.0.0.1", "localhost", "[fe80::1%lo]"),
)


@attack("network/names")
def odd_names_by_connect() -> None:
    refused({name: by_connect(odd + b":443") for name, odd in _ODD.items()}, 400, 403, 0)


@attack("network/names")
def odd_names_in_a_uri() -> None:
    refused({name: by_uri(b"http://" + odd + b"/evil") for name, odd in _ODD.items()}, 400, 403, 0)


@attack("network/names")
def odd_names_by_socks() -> None:
    refused({name: by_socks(odd) for name, odd in _ODD.items() if len(odd) < 256}, 1, 2, 4, 8, 255)


@allowed("network/names")
def upper_case_and_a_final_dot_are_the_same_name() -> None:
    for name in (b"API.Example.ORG", _NAME + b".", BELOW.upper().encode()):
        if by_connect(name + b":443") != 200 or by_uri(b"http://" + name + b"/hello") != 200:
            raise Missed(name.decode())
        if by_socks(name) != 0:
            raise Missed(f"{name.decode()} by SOCKS")


@attack("network/granted-literals")
def addresses_by_connect() -> None:
    port = FACTS["daemon_port"]
    asked = {f"{one}:{n}": by_connect(f"{one}:{n}".encode()) for one in _LITERALS for n in (443, port)}
    refused(asked, 400, 403, 0)


@attack("network/granted-literals")
def addresses_in_a_uri() -> None:
    refused({one: by_uri(f"http://{one}/evil".encode()) for one in _LITERALS}, 400, 403, 0)


@attack("network/granted-literals")
def addresses_by_socks() -> None:
    port = struct.pack(">H", 443)
    v4 = (socket.inet_aton(one) for one in ("93.184.215.14", "127.0.0.1", "169.254.169.254", "10.0.0.1"))
    v6 = (socket.inet_pton(socket.AF_INET6, one) for one in ("::ffff:93.184.215.14", "::1", "fd00:ec2::254"))
    asked = [b"\1" + one for one in v4] + [b"\4" + one for one in v6]
    seen = {}
    for words in asked:
        with socket.create_connection(proxy(), WAIT_S) as s:
            s.sendall(b"\5\1\0\5\1\0" + words + port)
            answer = b""
            while len(answer) < 4 and (piece := s.recv(64)):
                answer += piece
            seen[words.hex()] = answer[3]
    refused(seen, 2)


@attack("network/look-alikes")
def names_that_look_granted() -> None:
    asked = {
        *(f"{GRANTED}.{EVIL}:443", f"evil{GRANTED}:443", f"evil.{GRANTED}:443", "evil.example.org:443"),
        *("cdn.example.org:443", "evilcdn.example.org:443", "example.org:443", f"x.{GRANTED}:80"),
        *("denied.cdn.example.org:443", "evil.denied.cdn.example.org.:22", "DENIED.cdn.example.org.:443"),
        *(f"{GRANTED}:8443", f"{GRANTED}:22", f"{BELOW}:25", f"{FACTS['service'][0]}:{FACTS['daemon_port']}"),
    }
    refused({one: by_connect(one.encode()) for one in sorted(asked)}, 403)


@attack("network/server-names")
def tls_to_another_server() -> None:
    name, below = GRANTED.encode(), BELOW.encode()
    asked = {
        "not granted": hello(_EVIL),
        "granted, but another": hello(below),
        "two, the granted first": hello(name, _EVIL),
        "two, the granted last": hello(_EVIL, name),
        "twice": hello(name, more=hello(_EVIL)[-len(_EVIL) - 9 :]),
        "none": hello(),
        "with a NUL": hello(name + b"\0" + _EVIL),
        "no TLS": b"GET /evil HTTP/1.1\r\nHost: api.example.org\r\n\r\n",
        "garbage": b"evil" * 100,
    }
    where = f"{GRANTED}:443"
    seen = {said: len(told(lambda: tunnel(where), first)) for said, first in asked.items()}
    at_door = {f"{said}, at its door": len(told(_door, first)) for said, first in asked.items()}
    refused({**seen, **at_door}, 0)


@allowed("network/server-names")
def tls_to_the_granted_server() -> None:
    for first in (hello(GRANTED.encode()), hello(GRANTED.upper().encode())):
        for opened in (lambda: tunnel(f"{GRANTED}:443"), _door):
            if told(opened, first) != b"hello by TLS":
                raise Missed("it was not let through")


@attack("network/private-names")
def names_of_addresses_that_are_not_public() -> None:
    asked = [f"{one}.cdn.example.org:{port}" for one in FACTS["not_public"] for port in (443, 80)]
    refused({one: by_connect(one.encode()) for one in asked}, 403)


@allowed("network/private-names")
def a_name_of_both_leads_to_the_public_address() -> None:
    if by_uri(b"http://mixed.cdn.example.org/hello") != 200:
        raise Missed("it is not reached")


@attack("network/redirects")
def followed_to_what_is_not_granted() -> None:
    daemon = FACTS["daemon_port"]
    places = (
        *(f"http://{EVIL}/evil", f"https://{EVIL}/evil", "http://169.254.169.254/latest/meta-data"),
        *(f"http://127.0.0.1:{daemon}/evil", f"http://localhost:{daemon}/evil", f"http://{READ}/evil"),
        *(f"http://{GRANTED}:8443/evil", "http://private.cdn.example.org/evil"),
    )
    for place in places:
        try:
            with _followed(place) as answer:
                raise Missed(f"{place}: {answer.status} {answer.read(200)!r}")
        except OSError:
            continue
    raise Contained(f"all {len(places)} lead nowhere")


@allowed("network/redirects")
def followed_to_what_is_granted() -> None:
    with _followed(f"http://{BELOW}/hello") as answer:
        if not answer.read().startswith(b"hello"):
            raise Missed(json.dumps(dict(answer.headers)))


@allowed("network/granted-literals")
@allowed("network/look-alikes")
@allowed("network/beside")
@allowed("network/own-names")
def what_is_granted_works() -> None:
    if status(ask(f"GET /hello HTTP/1.1\r\nHost: {GRANTED}\r\n\r\n".encode(), (GRANTED, 80))) != 200:
        raise Missed("its door leads nowhere")
    for target in (GRANTED, BELOW, "y.x.cdn.example.org"):
        if by_connect(f"{target}:443".encode()) != 200 or by_uri(f"http://{target}/".encode()) != 200:
            raise Missed(f"{target} is not reached by the proxy")
    name, port = FACTS["service"]
    if status(ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", (name, port))) != 200:
        raise Missed("the granted service of the host is not reached")


@allowed("network/beside")
def its_own_loopback_works_too() -> None:
    try:
        server = socket.create_server(("127.0.0.1", 0))
    except PermissionError as error:
        raise Absent("a sandbox of this method cannot listen") from error
    with server, socket.create_connection(server.getsockname(), WAIT_S):
        server.accept()[0].close()


def _followed(place: str) -> HTTPResponse:
    """What a client ends at that is sent to a place by a granted server. Raises OSError."""
    answer = urllib.request.urlopen(f"http://{GRANTED}/to/{place.encode().hex()}", timeout=WAIT_S)
    assert isinstance(answer, HTTPResponse)
    return answer


def _door() -> socket.socket:
    return socket.create_connection((GRANTED, 443), WAIT_S)
